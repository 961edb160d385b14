import { create } from "@bufbuild/protobuf";
import { AlertRuleSchema, AlertStatistic, MatcherOperator } from "../../gen/retake/v1/alert_pb.js";
import { systemClock } from "../../src/clock.ts";
import { AlertEngine, noSeriesStorage, resolveRule, SeriesStore } from "../../src/monitoring/index.ts";
import type { Labels, Series } from "../../src/monitoring/series/series.ts";
import { silentLogger } from "../../src/runs/index.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { durationFromMs } from "../../src/runs/time.ts";
import { createSeededRandom } from "../../src/testing/seeded-random.ts";

const sampleMs = 10_000;
const minute = 60_000;
const samples = (6 * 60 * minute) / sampleMs;
const startMs = Date.UTC(2026, 0, 1);

/** How often the storage is handed what is new, as by the server. */
const flushEvery = 6;

/** A metric is told of so many workflows, each by so many series. */
const workflows = 50;
const seriesEach = 5;

type Kind = "gauge" | "counter";

/** Six hours of many series, as a server keeps them: some rest, and some change with each sample. */
export class WatchedSeries {
  readonly #store: SeriesStore;
  readonly #all: { readonly series: Series; readonly next: () => number }[] = [];
  readonly #random = createSeededRandom(11);
  #taken = 0;

  private constructor(store: SeriesStore) {
    this.#store = store;
  }

  static async open(): Promise<WatchedSeries> {
    return new WatchedSeries(
      await SeriesStore.open({ clock: systemClock, log: silentLogger, storage: noSeriesStorage, maxSeries: 1_000_000 }),
    );
  }

  /** Makes them, and takes their samples of six hours. */
  async fill(count: number): Promise<void> {
    for (let i = 0; i < count; i++) this.#make(i);
    for (let i = 0; i < samples; i++) {
      this.#sample();
      if (i % flushEvery === 0) await this.#store.flush();
    }
  }

  /** The processor time of each evaluation of so many rules over them, in ms. */
  async evaluate(count: number, rounds: number): Promise<number[]> {
    const engine = new AlertEngine({
      ...{ journal: createMemoryStorage({ clock: systemClock }).journal, clock: systemClock, log: silentLogger },
      source: this.#store,
      outbox: { appendsFor: () => [], changed: () => undefined, overdue: () => undefined },
    });
    engine.replaceRules(
      Array.from({ length: count }, (_, i) => resolveRule(create(AlertRuleSchema, ruleOf(i)))),
      startMs,
    );
    const values: number[] = [];
    for (let round = 0; round < rounds; round++) {
      this.#sample();
      const before = process.cpuUsage();
      await engine.evaluate(this.#nowMs());
      const { user, system } = process.cpuUsage(before);
      values.push((user + system) / 1_000);
    }
    return values;
  }

  #make(i: number): void {
    const metric = Math.floor(i / (workflows * seriesEach));
    const workflow = `studio.v1.FilmService/Shoot${Math.floor(i / seriesEach) % workflows}`;
    const labels: Labels = { retake_workflow: workflow, le: ["0.1", "1", "5", "10", "+Inf"][i % seriesEach] ?? "" };
    const kind: Kind = metric % 4 === 0 ? "gauge" : "counter";
    const series = this.#store.series(nameOf(metric), labels, kind);
    if (series === undefined) throw new Error("there is no room for the series");
    const random = this.#random;
    // A third of them rest.
    const most = i % 3 === 0 ? 0 : 1 + (i % 30);
    let value = 0;
    const next =
      kind === "gauge" ? () => Math.floor(random.next() * most) : () => (value += Math.floor(random.next() * most));
    this.#all.push({ series, next });
  }

  #nowMs(): number {
    return startMs + this.#taken * sampleMs;
  }

  #sample(): void {
    this.#taken++;
    const nowMs = this.#nowMs();
    this.#store.advance(nowMs);
    for (const { series, next } of this.#all) this.#store.append(series, nowMs, next());
  }
}

function nameOf(metric: number): string {
  return metric % 4 === 0 ? `studio_depth_${metric}` : `studio_shots_${metric}_bucket`;
}

/** Rules of every kind: of ten series, or of all that a metric has; of minutes and of hours. */
function ruleOf(i: number) {
  const metric = i % 20;
  const matchers = [
    { label: "retake_workflow", operator: MatcherOperator.MATCHES, value: `.*Shoot${i % 10}[02]?` },
    // Of a quantile, all of them make the histogram.
    ...(i % 5 === 2 ? [] : [{ label: "le", operator: MatcherOperator.NOT_EQUAL, value: "" }]),
  ];
  const grouping = { labels: ["retake_workflow"] };
  const common = { name: `Rule${i}`, warning: { at: 1e9 }, critical: { at: 1e10 } };
  if (metric % 4 === 0) {
    const statistic = i % 3 === 0 ? AlertStatistic.LATEST : AlertStatistic.AVG;
    return { ...common, queries: { depth: { metric: nameOf(metric), matchers, statistic, grouping } } };
  }
  const increase = (windowMs: number, more: object[] = []) => ({
    ...{ metric: nameOf(metric), matchers: [...matchers, ...more], statistic: AlertStatistic.INCREASE, grouping },
    window: durationFromMs(windowMs),
  });
  if (i % 5 === 2) {
    const histogram = { metric: nameOf(metric).replace("_bucket", ""), matchers, grouping };
    const quantile = { statistic: AlertStatistic.QUANTILE, quantile: 0.95 };
    return { ...common, queries: { p95: { ...histogram, ...quantile, window: durationFromMs(30 * minute) } } };
  }
  const good = [{ label: "le", operator: MatcherOperator.EQUAL, value: "1" }];
  if (i % 5 === 3) {
    return {
      ...common,
      queries: {
        ...{ long: increase(6 * 60 * minute), long_good: increase(6 * 60 * minute, good) },
        ...{ short: increase(30 * minute), short_good: increase(30 * minute, good) },
      },
      expression: "long_good / (long + 1.0) < short_good / (short + 1.0) ? long_good : short_good",
    };
  }
  return {
    ...common,
    queries: { good: increase(10 * minute, good), all: increase(10 * minute) },
    expression: "good / (all + 1.0)",
  };
}
