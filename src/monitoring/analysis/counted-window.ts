import { type LabelMatcher, labelTest } from "../series/matcher.ts";
import { levels, resolutionFor } from "../series/resolutions.ts";
import type { Labels, Series } from "../series/series.ts";
import type { SeriesStore } from "../series/series-store.ts";
import type { Breathe } from "./breathe.ts";
import { type CounterSource, counterAt } from "./counter-at.ts";

/** Where samples are. */
export type CountedSource = CounterSource & Pick<SeriesStore, "select">;

/** By how much one series of a counter rose. */
export interface Counted {
  readonly labels: Labels;
  readonly count: number;
}

/** How many series are looked up at once. */
const atOnce = 25;

/**
 * By how much counters rose in a window, to the sample: what PromQL's `increase` estimates from the distances of samples is
 * counted here, and a series that has begun in the window has begun at 0.
 */
export class CountedWindow {
  readonly afterMs: number;
  readonly untilMs: number;
  readonly #source: CountedSource;
  readonly #nowMs: number;
  readonly #breathe: Breathe;

  /** The window begins at a time at which there are samples so old: up to ten minutes earlier than asked for. */
  constructor(
    source: CountedSource,
    nowMs: number,
    window: { readonly afterMs: number; readonly untilMs: number },
    breathe: Breathe,
  ) {
    this.#source = source;
    this.#breathe = breathe;
    this.#nowMs = nowMs;
    const stepMs = levels[resolutionFor(window.afterMs, nowMs)].stepMs ?? 1;
    this.afterMs = Math.floor(window.afterMs / stepMs) * stepMs;
    this.untilMs = window.untilMs;
  }

  /** Of each series of a counter, also those that did not rise. */
  async of(metric: string, matchers: readonly LabelMatcher[] = []): Promise<Counted[]> {
    const series = this.#source.select(metric, labelTest(matchers));
    const counted: Counted[] = [];
    for (let from = 0; from < series.length; from += atOnce) {
      await this.#breathe();
      const some = series.slice(from, from + atOnce);
      counted.push(
        ...(await Promise.all(some.map(async (one) => ({ labels: one.labels, count: await this.#increase(one) })))),
      );
    }
    return counted;
  }

  /** Of all series of a counter. */
  async sum(metric: string, matchers: readonly LabelMatcher[] = []): Promise<number> {
    return sumOf(await this.of(metric, matchers));
  }

  async #increase(series: Series): Promise<number> {
    const latest = await counterAt(this.#source, this.#nowMs, series, this.untilMs);
    return latest === 0 ? 0 : latest - (await counterAt(this.#source, this.#nowMs, series, this.afterMs));
  }
}

/** All of them as one. */
export function sumOf(counted: readonly Counted[]): number {
  return counted.reduce((sum, { count }) => sum + count, 0);
}

/** Added up by what a label says; series without the label count for an empty one. Those that did not rise are left out. */
export function sumBy(counted: readonly Counted[], label: string): Map<string, number> {
  const sums = new Map<string, number>();
  for (const { labels, count } of counted) {
    if (count === 0) continue;
    const name = labels[label] ?? "";
    sums.set(name, (sums.get(name) ?? 0) + count);
  }
  return sums;
}
