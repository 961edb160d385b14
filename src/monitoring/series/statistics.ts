import { riseOf, stretchedIncrease } from "./rise.ts";
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

/** By how much a counter rose in a window, as PromQL's `increase` has it. */
export function extrapolatedIncrease(
  samples: Samples,
  window: { readonly afterMs: number; readonly untilMs: number },
): number | undefined {
  const rise = riseOf(samples);
  return rise && stretchedIncrease(rise, window);
}
