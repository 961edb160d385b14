import { evaluateQuery, type GroupValue, type SeriesSource } from "../alerts/evaluate.ts";
import type { RuleQuery, Statistic } from "../alerts/rule.ts";
import { type Bucket, histogramQuantile } from "../series/histogram-quantile.ts";
import type { LabelTest } from "../series/matcher.ts";
import { sampleIntervalMs } from "../series/resolutions.ts";
import type { Series } from "../series/series.ts";

const minute = 60_000;
const hour = 60 * minute;

/** As much as is in memory without decoding: a status is put together with each sample, for all workflows. */
const windowMs = 5 * minute;
const windowSeconds = windowMs / 1_000;

/** Whatever is not told with the newest samples is no more. */
const freshMs = 1.5 * sampleIntervalMs;

const workflowLabel = "retake_workflow";
const stateLabel = "retake_run_state";
const everything: LabelTest = () => true;

/** What is read of runs: of all of them, or those of a workflow. */
export interface RunFigures {
  /** By the name of the state. */
  readonly open: ReadonlyMap<string, number>;
  /** In the last five minutes, as those that follow. */
  readonly started: number;
  readonly ended: number;
  /** Of those, FAILED or EXPIRED. */
  readonly failed: number;
  readonly retries: number;
  /** For how long the run that is QUEUED longest has been so. */
  readonly oldestQueuedSeconds?: number;
}

/** How long runs took that ended in the last five minutes. */
export interface RunTimes {
  readonly p50Seconds: number;
  readonly p95Seconds: number;
  readonly p99Seconds: number;
}

/** A workflow whose runs are slower than usual, or as slow. */
export interface SlowestWorkflow {
  readonly workflow: string;
  /** Which part of its runs took no longer: 0.95, or 0.5 where these tell of it more clearly. */
  readonly part: number;
  readonly seconds: number;
  /** The same part, in the hours before. */
  readonly usualSeconds: number;
}

/** What lasts becomes usual: by the slowest runs soon, by half of them only after hours. And those are late to tell of it. */
const parts = [0.95, 0.5] as const;

/** With fewer runs nothing is said of how long they take, and how long they usually do. */
const enoughRuns = 10;
const enoughForUsual = 50;

/** Some milliseconds, where one of them has to be decoded for the half hour. */
const seriesPerTurn = 20;

/** Where samples are, and how new they are. */
export interface FiguresSource extends SeriesSource {
  select(
    name: string | undefined,
    test: (labels: Readonly<Record<string, string>>) => boolean,
  ): readonly Pick<Series, "labels" | "read" | "rise" | "firstMs" | "lastMs" | "lastValue">[];
}

/** What the series say of a server at the time of a sample. What costs more is read when it is first asked for. */
export class ServerFigures {
  readonly timeMs: number;
  readonly #source: FiguresSource;
  #runs: ReadonlyMap<string, RunFigures> | undefined;
  #times: { readonly all: RunTimes | undefined; readonly byWorkflow: ReadonlyMap<string, RunTimes> } | undefined;

  constructor(source: FiguresSource, timeMs: number) {
    this.#source = source;
    this.timeMs = timeMs;
  }

  /** The newest value of a metric, its series added up; undefined where there is none with the newest samples. */
  latest(metric: string): number | undefined {
    const values = this.#fresh(metric).map(([, value]) => value);
    return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
  }

  /** By how much a counter rose per second, its series added up, in the last minute. */
  rate(metric: string): number | undefined {
    return this.#query(metric, "rate", minute, []).values().next().value?.value;
  }

  /** By workflow, those that have had runs since the server began. */
  get runs(): ReadonlyMap<string, RunFigures> {
    this.#runs ??= this.#readRuns();
    return this.#runs;
  }

  /** Over all workflows. */
  get allRuns(): RunFigures {
    const all = [...this.runs.values()];
    const sum = (pick: (runs: RunFigures) => number): number => all.reduce((total, runs) => total + pick(runs), 0);
    const open = new Map<string, number>();
    for (const runs of all) for (const [state, count] of runs.open) open.set(state, (open.get(state) ?? 0) + count);
    const oldest = all.flatMap(({ oldestQueuedSeconds: seconds }) => (seconds === undefined ? [] : [seconds]));
    return {
      open,
      started: sum(({ started }) => started),
      ended: sum(({ ended }) => ended),
      failed: sum(({ failed }) => failed),
      retries: sum(({ retries }) => retries),
      ...(oldest.length > 0 && { oldestQueuedSeconds: Math.max(...oldest) }),
    };
  }

  /** How long runs took: of a workflow, or of all. Undefined where none has ended in the last five minutes. */
  times(workflow?: string): RunTimes | undefined {
    this.#times ??= this.#readTimes();
    return workflow === undefined ? this.#times.all : this.#times.byWorkflow.get(workflow);
  }

  /** Within how long 99 % of what happened to runs in the last five minutes was durable. */
  p99CommitSeconds(): number | undefined {
    const metric = "retake_journal_commit_duration_seconds";
    const found = this.#query(metric, { quantile: 0.99 }, windowMs, [], 1);
    const value = found.values().next().value?.value;
    return value === undefined || Number.isNaN(value) ? undefined : value;
  }

  /**
   * The workflow whose runs took the most times as long in the last half hour as they did in some five hours before; undefined
   * where too few have ended.
   *
   * @param turn gives others the event loop: this looks at every bucket of every workflow
   */
  async slowest(turn: () => Promise<void>): Promise<SlowestWorkflow | undefined> {
    const recent = new Map<string, Counts>();
    const usual = new Map<string, Counts>();
    const sinceMs = this.timeMs - hour / 2;
    // From a full hour on, where chunks begin: fewer of them have to be decoded.
    const usualMs = Math.ceil((this.timeMs - 6 * hour) / hour) * hour;
    const series = this.#source.select("retake_run_duration_seconds_bucket", everything);
    for (const [i, one] of series.entries()) {
      if (i % seriesPerTurn === seriesPerTurn - 1) await turn();
      addCount(recent, one.labels, increaseOf(one, sinceMs, this.timeMs));
      addCount(usual, one.labels, increaseOf(one, usualMs, sinceMs));
    }
    let slowest: SlowestWorkflow | undefined;
    for (const [workflow, counts] of recent) {
      const all = usual.get(workflow);
      if (countOf(counts) < enoughRuns || all === undefined || countOf(all) < enoughForUsual) continue;
      for (const part of parts) {
        const [seconds, usualSeconds] = [quantileOf(counts, part), quantileOf(all, part)];
        const found = { workflow, part, seconds, usualSeconds };
        if (Number.isNaN(timesAsLong(found))) continue;
        if (slowest === undefined || timesAsLong(found) > timesAsLong(slowest)) slowest = found;
      }
    }
    return slowest;
  }

  #readRuns(): ReadonlyMap<string, RunFigures> {
    const increase = (metric: string, test: LabelTest = everything): ReadonlyMap<string, number> => {
      const sums = new Map<string, number>();
      for (const [{ [workflowLabel]: workflow = "" }, value] of this.#increases(metric, test)) {
        sums.set(workflow, (sums.get(workflow) ?? 0) + value);
      }
      return sums;
    };
    const open = new Map<string, Map<string, number>>();
    for (const [{ [workflowLabel]: workflow = "", [stateLabel]: state = "" }, count] of this.#fresh(
      "retake_runs_open",
    )) {
      const states = open.get(workflow) ?? new Map<string, number>();
      open.set(workflow, states);
      if (count > 0) states.set(state, count);
    }
    const oldest = new Map(
      this.#fresh("retake_run_oldest_age_seconds", ({ [stateLabel]: state }) => state === "QUEUED").map(
        ([labels, seconds]) => [labels[workflowLabel] ?? "", seconds],
      ),
    );
    const started = increase("retake_runs_started_total");
    const ended = increase("retake_runs_ended_total");
    const failed = increase(
      "retake_runs_ended_total",
      ({ [stateLabel]: state }) => state === "FAILED" || state === "EXPIRED",
    );
    const retries = increase("retake_retries_total");
    const names = new Set([...open.keys(), ...started.keys(), ...ended.keys()]);
    return new Map(
      Array.from(names, (name) => {
        const oldestQueuedSeconds = oldest.get(name);
        return [
          name,
          {
            open: open.get(name) ?? new Map(),
            started: started.get(name) ?? 0,
            ended: ended.get(name) ?? 0,
            failed: failed.get(name) ?? 0,
            retries: retries.get(name) ?? 0,
            ...(oldestQueuedSeconds !== undefined && { oldestQueuedSeconds }),
          },
        ];
      }),
    );
  }

  #readTimes() {
    const byName = new Map<string, Map<string, number>>();
    const all = new Map<string, Map<string, number>>();
    for (const [labels, value] of this.#increases("retake_run_duration_seconds_bucket")) {
      addCount(byName, labels, value);
      addCount(all, { le: labels["le"] ?? "" }, value);
    }
    const byWorkflow = new Map<string, RunTimes>();
    for (const [workflow, counts] of byName) {
      const times = timesOf(counts);
      if (times !== undefined) byWorkflow.set(workflow, times);
    }
    return { all: timesOf(all.get("") ?? new Map()), byWorkflow };
  }

  #fresh(
    metric: string,
    test: LabelTest = everything,
  ): (readonly [labels: Readonly<Record<string, string>>, value: number])[] {
    return this.#source.select(metric, test).flatMap(({ labels, lastMs, lastValue }) => {
      const isFresh = lastMs !== undefined && lastMs > this.timeMs - freshMs;
      return isFresh && lastValue !== undefined ? [[labels, lastValue] as const] : [];
    });
  }

  /** By how much each series of a counter rose in the last five minutes. */
  #increases(
    metric: string,
    test: LabelTest = everything,
  ): (readonly [labels: Readonly<Record<string, string>>, value: number])[] {
    return this.#source
      .select(metric, test)
      .map((series) => [series.labels, increaseOf(series, this.timeMs - windowMs, this.timeMs)]);
  }

  #query(
    metric: string,
    statistic: Statistic,
    ofMs: number,
    groupBy: readonly string[],
    minCount = 0,
  ): Map<string, GroupValue> {
    const query: RuleQuery = {
      ...{ metric, statistic, groupBy, minCount },
      ...{ matchers: [], test: everything, windowMs: ofMs, offsetMs: 0 },
    };
    return evaluateQuery(query, this.#source, this.timeMs);
  }
}

/**
 * By how much a counter rose, to the number: what PromQL's `increase` stretches, and begins only with the second sample. What
 * a series has with its first sample has happened since the one before, in which it was not.
 */
function increaseOf(series: Pick<Series, "rise" | "firstMs">, afterMs: number, untilMs: number): number {
  // The sample at the beginning is what it has risen from.
  const rise = series.rise(afterMs - sampleIntervalMs / 2, untilMs);
  if (rise === undefined || rise.lastMs <= afterMs) return 0;
  const { firstMs, first, last, reset } = rise;
  const isNew = firstMs === series.firstMs && firstMs > afterMs;
  return last - (isNew ? 0 : first) + reset;
}

type Counts = Map<string, number>;

/** Adds to a bucket of a workflow. */
function addCount(
  counts: Map<string, Counts>,
  { [workflowLabel]: workflow = "", le = "" }: Readonly<Record<string, string>>,
  value: number,
): void {
  const own = counts.get(workflow) ?? new Map<string, number>();
  counts.set(workflow, own);
  own.set(le, (own.get(le) ?? 0) + value);
}

function countOf(counts: Counts): number {
  return counts.get("+Inf") ?? 0;
}

/** Per second, of what is counted in the last five minutes. */
export function perSecond(count: number): number {
  return count / windowSeconds;
}

/** As the built-in rule has it: where runs take no time, a second more is nothing. */
function timesAsLong({ seconds, usualSeconds }: SlowestWorkflow): number {
  return seconds / (usualSeconds + 1);
}

function timesOf(counts: Counts): RunTimes | undefined {
  if (countOf(counts) <= 0) return undefined;
  return {
    p50Seconds: quantileOf(counts, 0.5),
    p95Seconds: quantileOf(counts, 0.95),
    p99Seconds: quantileOf(counts, 0.99),
  };
}

function quantileOf(counts: Counts, quantile: number): number {
  const buckets = Array.from(
    counts,
    ([le, count]): Bucket => ({
      upperBound: le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le),
      count,
    }),
  );
  return histogramQuantile(quantile, buckets);
}
