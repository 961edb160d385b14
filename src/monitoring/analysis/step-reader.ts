import { histogramQuantile } from "../series/histogram-quantile.ts";
import { type LabelMatcher, labelTest } from "../series/matcher.ts";
import { readAggregates } from "../series/read-aggregates.ts";
import type { Series } from "../series/series.ts";
import type { AggregateSample } from "../series/series-database.ts";
import type { SeriesStore } from "../series/series-store.ts";
import type { Breathe } from "./breathe.ts";
import { counterAt } from "./counter-at.ts";
import type { StepGrid, Steps } from "./steps.ts";

/** Series that are read before others have their turn: a millisecond or two. */
const readAtOnce = 4;

/** Reads series in the steps of a grid. */
export class StepReader {
  readonly grid: StepGrid;
  readonly #store: SeriesStore;
  readonly #nowMs: number;
  readonly #breathe: Breathe;
  #read = 0;
  #up: Promise<readonly boolean[]> | undefined;

  constructor(store: SeriesStore, nowMs: number, grid: StepGrid, breathe: Breathe) {
    this.#breathe = breathe;
    this.#store = store;
    this.#nowMs = nowMs;
    this.grid = grid;
  }

  /** The mean of a gauge's samples in each step, series added up by what a label says; by nothing for all of them as one. */
  async gauge(metric: string, by?: string, matchers: readonly LabelMatcher[] = []): Promise<Map<string, Steps>> {
    return this.#added(metric, by, matchers, async (_, samples) => means(samples, this.grid));
  }

  /** By how much a counter rose in each step: not at all where the server was up and there are no samples of it. */
  async counter(metric: string, by?: string, matchers: readonly LabelMatcher[] = []): Promise<Map<string, Steps>> {
    const up = await this.#isUp();
    return this.#added(metric, by, matchers, async (series, samples) => {
      const before = await counterAt(this.#store, this.#nowMs, series, this.grid.firstMs - this.grid.stepMs);
      return increases(samples, before, this.grid).map((value, index) => value || (up[index] === true ? 0 : value));
    });
  }

  /** The value that a part of a histogram's observations in a step are no larger than. */
  async quantile(metric: string, part: number, matchers: readonly LabelMatcher[] = []): Promise<Steps | undefined> {
    const buckets = [...(await this.counter(`${metric}_bucket`, "le", matchers))].map(([le, steps]) => ({
      upperBound: le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le),
      steps,
    }));
    if (buckets.length === 0) return undefined;
    return this.#steps(
      Array.from({ length: this.grid.count }, (_, index) => {
        const own = buckets.map(({ upperBound, steps }) => ({ upperBound, count: steps.values[index] || 0 }));
        return histogramQuantile(part, own);
      }),
    );
  }

  async #added(
    metric: string,
    by: string | undefined,
    matchers: readonly LabelMatcher[],
    cut: (series: Series, samples: readonly AggregateSample[]) => Promise<number[]>,
  ): Promise<Map<string, Steps>> {
    const { firstMs, stepMs, count } = this.grid;
    const sums = new Map<string, number[]>();
    for (const series of this.#store.select(metric, labelTest(matchers))) {
      if (++this.#read % readAtOnce === 0) await this.#breathe();
      const window = { afterMs: firstMs - stepMs, untilMs: firstMs + (count - 1) * stepMs };
      const samples = await readAggregates(this.#store, this.#nowMs, series, window);
      const values = await cut(series, samples);
      const name = by === undefined ? "" : (series.labels[by] ?? "");
      const known = sums.get(name);
      sums.set(name, known === undefined ? values : known.map((value, index) => added(value, values[index])));
    }
    return new Map(Array.from(sums, ([name, values]) => [name, this.#steps(values)]));
  }

  /** In which steps there was a server: every one tells that, whatever it does. */
  #isUp(): Promise<readonly boolean[]> {
    this.#up ??= this.gauge("retake_journal_available").then((found) =>
      (found.get("")?.values ?? []).map((value) => !Number.isNaN(value)),
    );
    return this.#up;
  }

  #steps(values: readonly number[]): Steps {
    const { firstMs, stepMs } = this.grid;
    return { firstMs, stepMs, values };
  }
}

/** What is not known of one is nothing, where the other is known. */
function added(one: number, other = Number.NaN): number {
  if (Number.isNaN(one)) return other;
  return Number.isNaN(other) ? one : one + other;
}

function means(samples: readonly AggregateSample[], grid: StepGrid): number[] {
  const sums = new Array<number>(grid.count).fill(0);
  const counts = new Array<number>(grid.count).fill(0);
  for (const { timeMs, sum, count } of samples) {
    const step = stepOf(timeMs, grid);
    if (step < 0 || step >= grid.count) continue;
    sums[step] = (sums[step] as number) + sum;
    counts[step] = (counts[step] as number) + count;
  }
  return sums.map((sum, step) => (counts[step] === 0 ? Number.NaN : sum / (counts[step] as number)));
}

/** @param before what the counter had reached when the first step began */
function increases(samples: readonly AggregateSample[], before: number, grid: StepGrid): number[] {
  const risen = new Array<number>(grid.count).fill(Number.NaN);
  let previous = before;
  for (const { timeMs, last: value } of samples) {
    const step = stepOf(timeMs, grid);
    if (step >= 0 && step < grid.count) risen[step] = added(risen[step] as number, value - previous);
    previous = value;
  }
  return risen;
}

function stepOf(timeMs: number, { firstMs, stepMs }: StepGrid): number {
  return Math.ceil((timeMs - firstMs) / stepMs);
}
