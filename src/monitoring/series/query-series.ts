import { type Bucket, histogramQuantile } from "./histogram-quantile.ts";
import { type LabelMatcher, labelTest } from "./matcher.ts";
import { resolutionFor } from "./resolutions.ts";
import { type Labels, type Series, seriesKey } from "./series.ts";
import type { MetricDescription } from "./series-collector.ts";
import type { SeriesStore } from "./series-store.ts";
import { extrapolatedIncrease, type Samples, type WindowStatistics, windowStatistics } from "./statistics.ts";

export interface SeriesQuery {
  readonly metric: Pick<MetricDescription, "name" | "kind">;
  readonly matchers: readonly LabelMatcher[];
  /** Open at its beginning. */
  readonly afterMs: number;
  readonly untilMs: number;
}

/** One of the series that a query finds, with what its window holds. */
export interface SeriesResult {
  readonly labels: Labels;
  readonly samples: Samples;
  readonly statistics: WindowStatistics;
  /** Of a histogram: values below which that part of the window's observations lies. */
  readonly quantiles?: { readonly p50: number; readonly p95: number; readonly p99: number };
}

/**
 * What the series of a metric held in a window: from memory as they came, where that reaches back far enough, else summed
 * up by minute or by ten minutes. The samples of a histogram are how many observations there were by then.
 *
 * @throws TypeError for a matcher that is no regular expression
 */
export async function querySeries(store: SeriesStore, nowMs: number, query: SeriesQuery): Promise<SeriesResult[]> {
  const { metric, matchers, afterMs, untilMs } = query;
  const test = labelTest(matchers);
  if (metric.kind === "histogram") return queryHistogram(store, nowMs, query);
  const found: SeriesResult[] = [];
  for (const series of store.select(metric.name, test)) {
    const window = await readWindow(store, nowMs, series, afterMs, untilMs);
    found.push({ labels: series.labels, ...window });
  }
  return found;
}

interface Window {
  readonly samples: Samples;
  readonly statistics: WindowStatistics;
}

async function queryHistogram(store: SeriesStore, nowMs: number, query: SeriesQuery): Promise<SeriesResult[]> {
  const { metric, matchers, afterMs, untilMs } = query;
  const test = labelTest(matchers);
  const sums = new Map<string, number>();
  for (const series of store.select(`${metric.name}_sum`, test)) {
    const { samples } = await readWindow(store, nowMs, series, afterMs, untilMs);
    sums.set(seriesKey("", series.labels), extrapolatedIncrease(samples, query) ?? 0);
  }
  const buckets = new Map<string, Bucket[]>();
  for (const series of store.select(`${metric.name}_bucket`, test)) {
    const { le = "", ...labels } = series.labels;
    const { samples } = await readWindow(store, nowMs, series, afterMs, untilMs);
    const bucket = {
      upperBound: le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le),
      count: extrapolatedIncrease(samples, query) ?? 0,
    };
    const key = seriesKey("", labels);
    const known = buckets.get(key);
    if (known === undefined) buckets.set(key, [bucket]);
    else known.push(bucket);
  }
  const found: SeriesResult[] = [];
  for (const series of store.select(`${metric.name}_count`, test)) {
    const key = seriesKey("", series.labels);
    const { samples, statistics } = await readWindow(store, nowMs, series, afterMs, untilMs);
    const sum = sums.get(key) ?? 0;
    const { increase = 0 } = statistics;
    const own = buckets.get(key) ?? [];
    const [p50, p95, p99] = [0.5, 0.95, 0.99].map((quantile) => histogramQuantile(quantile, own));
    found.push({
      labels: series.labels,
      samples,
      statistics: { ...statistics, sum, ...(increase > 0 && { avg: sum / increase }) },
      quantiles: { p50: p50 ?? Number.NaN, p95: p95 ?? Number.NaN, p99: p99 ?? Number.NaN },
    });
  }
  return found;
}

async function readWindow(
  store: SeriesStore,
  nowMs: number,
  series: Series,
  afterMs: number,
  untilMs: number,
): Promise<Window> {
  const timesMs: number[] = [];
  const values: number[] = [];
  const resolution = resolutionFor(afterMs, nowMs);
  if (resolution === "raw") {
    series.read(afterMs, untilMs, (timeMs, value) => {
      timesMs.push(timeMs);
      values.push(value);
    });
    return {
      samples: { timesMs, values },
      statistics: windowStatistics(series.kind, { timesMs, values }, { afterMs, untilMs }),
    };
  }
  const aggregates = await store.aggregates(series, resolution, afterMs, untilMs);
  let [count, sum, min, max] = [0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const one of aggregates) {
    timesMs.push(one.timeMs);
    values.push(one.last);
    count += one.count;
    sum += one.sum;
    min = Math.min(min, one.min);
    max = Math.max(max, one.max);
  }
  // What has not been summed up yet is still in memory.
  const knownMs = timesMs.at(-1) ?? afterMs;
  series.read(knownMs, untilMs, (timeMs, value) => {
    timesMs.push(timeMs);
    values.push(value);
    count++;
    sum += value;
    min = Math.min(min, value);
    max = Math.max(max, value);
  });
  const statistics = windowStatistics(series.kind, { timesMs, values }, { afterMs, untilMs });
  if (series.kind === "counter" || count === 0) return { samples: { timesMs, values }, statistics };
  return { samples: { timesMs, values }, statistics: { ...statistics, count, sum, min, max, avg: sum / count } };
}
