import { create } from "@bufbuild/protobuf";
import { Quality } from "../../../gen/retake/v1/options_pb.js";
import {
  type DurationSummary,
  DurationSummarySchema,
  type ExecutionReport,
  ExecutionReportSchema,
  type WorkflowExecution,
  WorkflowExecutionSchema,
} from "../../../gen/retake/v1/report_pb.js";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { durationFromMs } from "../../runs/index.ts";
import { type Bucket, histogramQuantile } from "../series/histogram-quantile.ts";
import type { LabelMatcher } from "../series/matcher.ts";
import { type Counted, type CountedWindow, sumBy, sumOf } from "./counted-window.ts";
import { only, outcomeLabel, stateLabel, workflowLabel } from "./labels.ts";

/** More than anybody reads. */
const mostWorkflows = 200;

/** What is counted of runs, by metric. */
interface Counts {
  readonly started: ByWorkflow;
  readonly ended: ByWorkflow;
  readonly attempts: ByWorkflow;
  readonly retries: ByWorkflow;
  readonly fallbacks: ByWorkflow;
  readonly stalled: ByWorkflow;
  readonly reduced: ByWorkflow;
  readonly duration: Histogram;
  readonly queue: Histogram;
}

interface Histogram {
  readonly buckets: ByWorkflow;
  readonly sum: ByWorkflow;
}

/** What is counted, apart for each workflow: looked through for each of them, thousands of series take long. */
class ByWorkflow {
  readonly #all: readonly Counted[];
  readonly #byName: ReadonlyMap<string, readonly Counted[]>;

  constructor(counted: readonly Counted[]) {
    this.#all = counted;
    this.#byName = Map.groupBy(counted, ({ labels }) => labels[workflowLabel] ?? "");
  }

  get names(): Iterable<string> {
    return this.#byName.keys();
  }

  /** @param workflow undefined for all of them */
  of(workflow: string | undefined): readonly Counted[] {
    return workflow === undefined ? this.#all : (this.#byName.get(workflow) ?? []);
  }
}

/** What runs did in a window. */
export async function executionReport(window: CountedWindow): Promise<ExecutionReport> {
  const counts = await readCounts(window);
  const workflows = [...new Set([...counts.started.names, ...counts.ended.names])]
    .filter((name) => sumOf(counts.started.of(name)) + sumOf(counts.ended.of(name)) > 0)
    .map((name) => executionOf(counts, name))
    .sort((a, b) => endedRuns(b) - endedRuns(a) || (a.workflow < b.workflow ? -1 : 1));
  return create(ExecutionReportSchema, {
    total: executionOf(counts),
    workflows: workflows.slice(0, mostWorkflows),
    workflowCount: workflows.length,
  });
}

/** How many runs of a workflow have ended. */
export function endedRuns({ ended }: WorkflowExecution): number {
  return ended.reduce((sum, { count }) => sum + Number(count), 0);
}

/** Of those that ended, the part in one of these states: nobody knows of those that were cancelled. Undefined for none. */
export function partOf(byState: ReadonlyMap<string, number>, ...states: readonly RunStateName[]): number | undefined {
  const sum = (names: readonly RunStateName[]): number =>
    names.reduce((total, name) => total + (byState.get(name) ?? 0), 0);
  const all = sum(["SUCCEEDED", "FAILED", "EXPIRED"]);
  return all === 0 ? undefined : sum(states) / all;
}

type RunStateName = "SUCCEEDED" | "FAILED" | "EXPIRED";

async function readCounts(window: CountedWindow): Promise<Counts> {
  const of = async (metric: string, matchers: readonly LabelMatcher[] = []): Promise<ByWorkflow> =>
    new ByWorkflow(await window.of(metric, matchers));
  const succeeded = [only(stateLabel, "SUCCEEDED")];
  return {
    started: await of("retake_runs_started_total"),
    ended: await of("retake_runs_ended_total"),
    attempts: await of("retake_attempts_total"),
    retries: await of("retake_retries_total"),
    fallbacks: await of("retake_fallbacks_total"),
    stalled: await of("retake_attempts_stalled_total"),
    reduced: await of("retake_runs_reduced_total"),
    duration: {
      buckets: await of("retake_run_duration_seconds_bucket", succeeded),
      sum: await of("retake_run_duration_seconds_sum", succeeded),
    },
    queue: {
      buckets: await of("retake_run_queue_duration_seconds_bucket"),
      sum: await of("retake_run_queue_duration_seconds_sum"),
    },
  };
}

/** @param workflow undefined for all of them */
function executionOf(counts: Counts, workflow?: string): WorkflowExecution {
  const own = (counted: ByWorkflow): readonly Counted[] => counted.of(workflow);
  const ended = sumBy(own(counts.ended), stateLabel);
  const attempts = sumBy(own(counts.attempts), outcomeLabel);
  const reduced = sumBy(own(counts.reduced), "retake_quality");
  const rate = partOf(ended, "SUCCEEDED");
  const duration = summary(own(counts.duration.buckets), sumOf(own(counts.duration.sum)));
  const queue = summary(own(counts.queue.buckets), sumOf(own(counts.queue.sum)));
  return create(WorkflowExecutionSchema, {
    workflow: workflow ?? "",
    started: whole(sumOf(own(counts.started))),
    ended: Array.from(ended, ([state, count]) => ({
      state: RunState[state as keyof typeof RunState] ?? RunState.UNSPECIFIED,
      count: whole(count),
    })).sort((a, b) => a.state - b.state),
    ...(rate !== undefined && { successRate: rate }),
    ...(duration && { duration }),
    ...(queue && { queue }),
    attempts: Array.from(attempts, ([outcome, count]) => ({ outcome, count: whole(count) })).sort((a, b) =>
      a.outcome < b.outcome ? -1 : 1,
    ),
    retries: whole(sumOf(own(counts.retries))),
    fallbacks: whole(sumOf(own(counts.fallbacks))),
    stalled: whole(sumOf(own(counts.stalled))),
    reduced: Array.from(reduced, ([quality, count]) => ({
      quality: Quality[quality as keyof typeof Quality] ?? Quality.UNSPECIFIED,
      count: whole(count),
    })).sort((a, b) => b.quality - a.quality),
  });
}

function summary(counted: readonly Counted[], sumSeconds: number): DurationSummary | undefined {
  const buckets = bucketsOf(counted);
  const count = buckets.find(({ upperBound }) => upperBound === Number.POSITIVE_INFINITY)?.count ?? 0;
  if (count === 0) return undefined;
  const quantile = (part: number) => durationFromMs(histogramQuantile(part, buckets) * 1_000);
  return create(DurationSummarySchema, {
    count: whole(count),
    mean: durationFromMs((Math.max(0, sumSeconds) / count) * 1_000),
    ...{ p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99) },
  });
}

/** The buckets of several series as those of one. */
export function bucketsOf(counted: readonly Counted[]): Bucket[] {
  const counts = new Map<string, number>();
  for (const { labels, count } of counted) {
    const { le = "" } = labels;
    counts.set(le, (counts.get(le) ?? 0) + count);
  }
  // Empty ones too: they say from where on the next one reaches.
  return Array.from(counts, ([le, count]) => ({
    upperBound: le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le),
    count,
  }));
}

/** What is counted is whole: sums of the series are not, where a clock was set back. */
export function whole(count: number): bigint {
  return BigInt(Math.max(0, Math.round(count)));
}
