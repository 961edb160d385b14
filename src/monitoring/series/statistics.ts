import type { SeriesKind } from "./series.ts";

/** Samples in order, as two lists of the same length. */
export interface Samples {
  readonly timesMs: readonly number[];
  readonly values: readonly number[];
}

/** What is told about the samples of a window. */
export interface WindowStatistics {
  /** How many samples there are; nothing else is set when there are none. */
  readonly count: number;
  /** Of a gauge's samples. */
  readonly sum?: number;
  readonly min?: number;
  readonly max?: number;
  readonly avg?: number;
  readonly latest?: number;
  /** Of a counter, per second, as PromQL's `rate`; needs two samples. */
  readonly rate?: number;
  /** Of a counter, as PromQL's `increase`; needs two samples. */
  readonly increase?: number;
}

/** The statistics of the samples in a window that ends at `untilMs` and is open at its beginning, as PromQL's are. */
export function windowStatistics(
  kind: SeriesKind,
  { timesMs, values }: Samples,
  window: { readonly afterMs: number; readonly untilMs: number },
): WindowStatistics {
  const latest = values.at(-1);
  if (latest === undefined) return { count: 0 };
  let sum = 0;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    sum += value;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  if (kind === "gauge") {
    return { count: values.length, sum, min, max, avg: sum / values.length, latest };
  }
  const increase = extrapolatedIncrease({ timesMs, values }, window);
  return {
    ...{ count: values.length, min, max, latest },
    ...(increase !== undefined && { increase, rate: increase / ((window.untilMs - window.afterMs) / 1_000) }),
  };
}

/**
 * By how much a counter rose in a window, resets taken out, and stretched to the window's ends as Prometheus does it
 * (`extrapolatedRate`): by at most half a sample's distance where samples end well within the window, and never below 0.
 */
export function extrapolatedIncrease(
  { timesMs, values }: Samples,
  { afterMs, untilMs }: { readonly afterMs: number; readonly untilMs: number },
): number | undefined {
  const firstMs = timesMs[0];
  const lastMs = timesMs.at(-1);
  const first = values[0];
  const last = values.at(-1);
  if (firstMs === undefined || lastMs === undefined || first === undefined || last === undefined) return undefined;
  if (values.length < 2) return undefined;
  let increase = last - first;
  let previous = first;
  for (const value of values) {
    if (value < previous) increase += previous;
    previous = value;
  }
  const sampledSeconds = (lastMs - firstMs) / 1_000;
  const distance = sampledSeconds / (values.length - 1);
  const threshold = distance * 1.1;
  let toStart = (firstMs - afterMs) / 1_000;
  let toEnd = (untilMs - lastMs) / 1_000;
  if (toStart >= threshold) toStart = distance / 2;
  if (increase > 0 && first >= 0) {
    // The counter was 0 at some time: not stretched beyond.
    toStart = Math.min(toStart, sampledSeconds * (first / increase));
  }
  if (toEnd >= threshold) toEnd = distance / 2;
  return increase * ((sampledSeconds + toStart + toEnd) / sampledSeconds);
}
