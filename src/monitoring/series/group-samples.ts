import { histogramQuantile } from "./histogram-quantile.ts";
import { readAggregates, type Window } from "./read-aggregates.ts";
import type { AggregateSample } from "./series-database.ts";
import type { SeriesGroup } from "./series-groups.ts";
import type { SeriesStore } from "./series-store.ts";
import { extrapolatedIncrease, type Samples, type WindowStatistics, windowStatistics } from "./statistics.ts";

/** Values below which that part of the observations lies. */
export interface Quantiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** What a window says of a series. */
export interface GroupStatistics extends WindowStatistics {
  /** Of a histogram. */
  readonly quantiles?: Quantiles;
}

/** The samples of a series in a window, read once, and what they say of any part of it. */
export class GroupSamples {
  readonly #group: SeriesGroup;
  readonly #main: readonly AggregateSample[];
  readonly #sum: readonly AggregateSample[];
  readonly #buckets: readonly { readonly upperBound: number; readonly samples: readonly AggregateSample[] }[];

  private constructor(
    group: SeriesGroup,
    main: readonly AggregateSample[],
    sum: readonly AggregateSample[],
    buckets: readonly { readonly upperBound: number; readonly samples: readonly AggregateSample[] }[],
  ) {
    this.#group = group;
    this.#main = main;
    this.#sum = sum;
    this.#buckets = buckets;
  }

  static async read(store: SeriesStore, nowMs: number, group: SeriesGroup, window: Window): Promise<GroupSamples> {
    const main = await readAggregates(store, nowMs, group.main, window);
    const sum = group.sum === undefined ? [] : await readAggregates(store, nowMs, group.sum, window);
    const buckets = [];
    for (const { upperBound, series } of group.buckets) {
      buckets.push({ upperBound, samples: await readAggregates(store, nowMs, series, window) });
    }
    return new GroupSamples(group, main, sum, buckets);
  }

  /** How many samples were read. */
  get size(): number {
    return this.#main.length * (2 + this.#buckets.length);
  }

  /** As they are kept. Of a histogram, how many observations there were by then. */
  get samples(): Samples {
    return seriesOf(this.#main);
  }

  /**
   * What is left out needs more samples than there are, or is of another kind of metric.
   *
   * @param withQuantiles they cost as much as there are buckets
   */
  statistics(window: Window, withQuantiles = true): GroupStatistics {
    const main = within(this.#main, window);
    if (main.length === 0) return { count: 0 };
    const { kind } = this.#group;
    if (kind === "gauge") return gaugeStatistics(main);
    const statistics = windowStatistics("counter", seriesOf(main), window);
    if (kind === "counter") return statistics;
    const sum = extrapolatedIncrease(seriesOf(within(this.#sum, window)), window);
    const { increase = 0 } = statistics;
    return {
      ...statistics,
      sum: sum ?? 0,
      ...(increase > 0 && sum !== undefined && { avg: sum / increase }),
      ...(withQuantiles && { quantiles: this.#quantiles(window) }),
    };
  }

  #quantiles(window: Window): Quantiles {
    const buckets = this.#buckets.map(({ upperBound, samples }) => ({
      upperBound,
      count: extrapolatedIncrease(seriesOf(within(samples, window)), window) ?? 0,
    }));
    const [p50, p95, p99] = [0.5, 0.95, 0.99].map((quantile) => histogramQuantile(quantile, buckets));
    return { p50: p50 ?? Number.NaN, p95: p95 ?? Number.NaN, p99: p99 ?? Number.NaN };
  }
}

function gaugeStatistics(samples: readonly AggregateSample[]): WindowStatistics {
  let [count, sum, min, max, latest] = [0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN];
  for (const one of samples) {
    count += one.count;
    sum += one.sum;
    if (one.min < min) min = one.min;
    if (one.max > max) max = one.max;
    latest = one.last;
  }
  return { count, sum, min, max, avg: sum / count, latest };
}

function seriesOf(samples: readonly AggregateSample[]): Samples {
  return { timesMs: samples.map(({ timeMs }) => timeMs), values: samples.map(({ last }) => last) };
}

function within(samples: readonly AggregateSample[], { afterMs, untilMs }: Window): readonly AggregateSample[] {
  return samples.slice(firstAfter(samples, afterMs), firstAfter(samples, untilMs));
}

/** The index of the first sample after a time; there may be thousands of steps. */
function firstAfter(samples: readonly AggregateSample[], timeMs: number): number {
  let [low, high] = [0, samples.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((samples[middle]?.timeMs ?? Number.POSITIVE_INFINITY) <= timeMs) low = middle + 1;
    else high = middle;
  }
  return low;
}
