import { Code } from "@connectrpc/connect";
import { FailureCategory, Quality, RecoveryAction } from "../../../gen/retake/v1/options_pb.js";
import { type Failure, FailureSeverity, RunState } from "../../../gen/retake/v1/run_pb.js";
import type { Clock } from "../../clock.ts";
import type { HistogramCell, HistogramFamily, Instruments, NumberCell, NumberFamily } from "../../instruments.ts";
import {
  createFailure,
  isBackendsFailure,
  isInterruption,
  isTerminal,
  type RunChange,
  type RunEventKind,
  type RunObserver,
  type RunRecord,
} from "../../runs/index.ts";
import { keptTraceIdOf } from "../../traceparent.ts";
import { durationBounds } from "./duration-bounds.ts";
import { OpenRuns } from "./open-runs.ts";
import type { SevereFailures } from "./severe-failures.ts";

/** A sync takes from a tenth of a millisecond to seconds, on a disk that is about to die. */
const commitBounds: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

export interface RunMetricsOptions {
  readonly clock: Clock;
  /** Takes out of a text what must not be told; asked for the same few again and again. */
  readonly redact: (text: string) => string;
  /** Is told of failures that are critical. */
  readonly severe?: SevereFailures;
}

interface Families {
  readonly started: NumberFamily;
  readonly ended: NumberFamily;
  readonly duration: HistogramFamily;
  readonly queueDuration: HistogramFamily;
  readonly attempts: NumberFamily;
  readonly attemptDuration: HistogramFamily;
  readonly retries: NumberFamily;
  readonly fallbacks: NumberFamily;
  readonly stalled: NumberFamily;
  readonly attemptFailures: NumberFamily;
  readonly runFailures: NumberFamily;
  readonly endedAfterFailure: NumberFamily;
  readonly reduced: NumberFamily;
  readonly recoveries: NumberFamily;
  readonly faults: NumberFamily;
}

/** They change no state, and nothing counts them. */
const uncounted: ReadonlySet<RunEventKind> = new Set([
  "stepCompleted",
  "progressSampled",
  "updateRecorded",
  "attemptCheckpoint",
  "childStarted",
  "childEnded",
]);

/** What metrics say about runs: a view of their events, told once they are durable. */
export class RunMetrics implements RunObserver {
  readonly ignores = uncounted;
  readonly #clock: Clock;
  readonly #families: Families;
  readonly #commitDuration: HistogramCell;
  readonly #byWorkflow = new Map<string, WorkflowMetrics>();

  readonly #options: RunMetricsOptions;

  constructor(instruments: Instruments, options: RunMetricsOptions) {
    const { clock } = options;
    this.#options = options;
    this.#clock = clock;
    this.#families = makeFamilies(instruments);
    this.#commitDuration = instruments
      .histogram(
        {
          ...{ name: "retake.journal.commit.duration", unit: "s" },
          description: "How long it took until what had happened to a run was durable.",
        },
        commitBounds,
      )
      .of();
    const workflows = this.#byWorkflow;
    const labels = ["retake.workflow", "retake.run.state"];
    instruments.observed(
      "up_down_counter",
      { name: "retake.runs.open", unit: "{run}", description: "Runs that have not ended.", attributes: labels },
      (set) => {
        for (const [workflow, { open }] of workflows) {
          for (const [state, count] of open.counts()) set(count, workflow, RunState[state]);
        }
      },
    );
    instruments.observed(
      "gauge",
      {
        ...{ name: "retake.runs.failing", unit: "{run}", attributes: ["retake.workflow"] },
        description:
          "Runs that have ended FAILED by their back-ends or EXPIRED since one has last succeeded, in this process.",
      },
      (set) => {
        for (const [workflow, { failing }] of workflows) if (failing !== undefined) set(failing, workflow);
      },
    );
    instruments.observed(
      "gauge",
      {
        name: "retake.run.oldest.age",
        unit: "s",
        description: "How long the run that is longest in that state has been in it.",
        attributes: labels,
      },
      (set) => {
        const nowMs = clock.monotonic();
        for (const [workflow, { open }] of workflows) {
          for (const [state, sinceMs] of open.oldest()) {
            set(Math.max(0, nowMs - sinceMs) / 1000, workflow, RunState[state]);
          }
        }
      },
    );
  }

  found(run: RunRecord): void {
    this.#of(run).open.move(run.accepted.runId, RunState.UNSPECIFIED, run.state, this.#monotonic(run.stateSinceMs));
  }

  committed(run: RunRecord, changes: readonly RunChange[], commitMs: number): void {
    this.#commitDuration.record(commitMs / 1000);
    const first = changes[0];
    const last = changes.at(-1);
    if (first === undefined || last === undefined) return;
    const metrics = this.#of(run);
    for (const change of changes) metrics.count(run, change);
    // Between them it was in no state that anybody could have seen.
    if (first.before !== last.after) {
      // When it ended matters to nobody who counts open ones.
      const timeMs = isTerminal(last.after) ? 0 : this.#monotonic(last.timeMs);
      metrics.open.move(run.accepted.runId, first.before, last.after, timeMs);
    }
  }

  /** A clock that is set must not make a run old. */
  #monotonic(timeMs: number): number {
    return this.#clock.monotonic() - Math.max(0, this.#clock.now() - timeMs);
  }

  #of({ accepted: { workflow } }: RunRecord): WorkflowMetrics {
    let metrics = this.#byWorkflow.get(workflow);
    if (metrics === undefined) {
      metrics = new WorkflowMetrics(workflow, this.#families, this.#options);
      this.#byWorkflow.set(workflow, metrics);
    }
    return metrics;
  }
}

interface AttemptCells {
  readonly count: NumberCell;
  readonly duration: HistogramCell;
}

/** The series of one workflow, found once. */
class WorkflowMetrics {
  readonly open = new OpenRuns();
  /** Runs in a row that have failed; undefined before one has ended well or not. */
  failing: number | undefined;
  readonly #workflow: string;
  readonly #families: Families;
  readonly #started: NumberCell;
  readonly #queueDuration: HistogramCell;
  readonly #durations = new Map<RunState, HistogramCell>();
  /** By outcome and endpoint. */
  readonly #attempts = new Map<string, Map<string, AttemptCells>>();
  readonly #succeeded: NumberCell;
  readonly #severe: SevereFailures | undefined;
  readonly #redact: (text: string) => string;

  constructor(workflow: string, families: Families, { severe, redact }: RunMetricsOptions) {
    this.#severe = severe;
    this.#redact = redact;
    this.#workflow = workflow;
    this.#families = families;
    this.#started = families.started.of(workflow);
    this.#queueDuration = families.queueDuration.of(workflow);
    this.#succeeded = families.ended.of(workflow, RunState[RunState.SUCCEEDED], "");
  }

  count(run: RunRecord, { body, timeMs, after, attempt }: RunChange): void {
    const { runId, traceparent } = run.accepted;
    const families = this.#families;
    switch (body.case) {
      case "accepted":
        this.#started.value++;
        return;
      case "attemptStarted":
        if (body.value.attempt === 1) {
          const waitedMs = Math.max(0, timeMs - run.createTimeMs);
          this.#queueDuration.record(waitedMs / 1000, timeMs, keptTraceIdOf(traceparent), runId);
        }
        return;
      case "attemptFailed": {
        const { failure, counted } = body.value;
        if (failure?.reason === "STALLED") families.stalled.of(this.#workflow).value++;
        if (attempt !== undefined) this.#attemptEnded(run, attempt, outcomeOf(failure, counted), timeMs);
        if (counted) this.#attemptFailed(run, failure, attempt?.endpoint ?? "", timeMs);
        return;
      }
      case "recoveryActed": {
        const { action, error } = body.value;
        const outcome = error === "" ? "SUCCEEDED" : "FAILED";
        families.recoveries.of(this.#workflow, RecoveryAction[action] ?? "", outcome).value++;
        return;
      }
      case "faultInjected":
        families.faults.of(this.#workflow).value++;
        return;
      case "retryScheduled":
        families.retries.of(this.#workflow).value++;
        return;
      case "fallbackStarted":
        families.fallbacks.of(this.#workflow).value++;
        return;
      case "succeeded":
        if (attempt !== undefined) this.#attemptEnded(run, attempt, "SUCCEEDED", timeMs);
        this.#succeeded.value++;
        this.failing = 0;
        if (run.quality !== Quality.FULL) this.#reduced(run.quality);
        this.#ended(run, after, timeMs);
        return;
      case "failed": {
        // Requests that nobody can serve say nothing of whoever serves them.
        if (body.value.failure === undefined || isBackendsFailure(body.value.failure)) {
          this.failing = (this.failing ?? 0) + 1;
        }
        const category = FailureCategory[body.value.failure?.category ?? FailureCategory.UNKNOWN];
        families.ended.of(this.#workflow, RunState[after] ?? "", category).value++;
        families.runFailures.of(this.#workflow, ...this.#kindOf(body.value.failure)).value++;
        // That of an attempt has been noted with it.
        if (run.failedAttempt?.failure.reason !== body.value.failure?.reason) {
          this.#severe?.note(run, body.value.failure, "", timeMs);
        }
        this.#ended(run, after, timeMs);
        return;
      }
      default:
        if (isTerminal(after)) {
          if (body.case === "expired") {
            this.failing = (this.failing ?? 0) + 1;
            families.runFailures.of(this.#workflow, ...this.#kindOf(expired)).value++;
          }
          families.ended.of(this.#workflow, RunState[after] ?? "", "").value++;
          this.#ended(run, after, timeMs);
        }
    }
  }

  #ended(run: RunRecord, state: RunState, timeMs: number): void {
    const { accepted, createTimeMs, countedFailures } = run;
    const { runId, traceparent } = accepted;
    if (countedFailures > 0) this.#families.endedAfterFailure.of(this.#workflow, RunState[state] ?? "").value++;
    let duration = this.#durations.get(state);
    if (duration === undefined) {
      duration = this.#families.duration.of(this.#workflow, RunState[state] ?? "");
      this.#durations.set(state, duration);
    }
    duration.record(Math.max(0, timeMs - createTimeMs) / 1000, timeMs, keptTraceIdOf(traceparent), runId);
  }

  #attemptFailed(run: RunRecord, failure: Failure | undefined, endpoint: string, timeMs: number): void {
    this.#families.attemptFailures.of(this.#workflow, endpoint, ...this.#kindOf(failure)).value++;
    this.#severe?.note(run, failure, endpoint, timeMs);
  }

  /** Its category, its severity and its reason, a back-end's own word: what errors are counted by. */
  #kindOf(failure: Failure | undefined): [category: string, severity: string, reason: string] {
    if (failure === undefined) return ["", "", ""];
    const { category, severity, reason } = failure;
    return [FailureCategory[category] ?? "", FailureSeverity[severity] ?? "", this.#redact(reason)];
  }

  #reduced(quality: Quality): void {
    const name = Quality[quality];
    if (quality !== Quality.UNSPECIFIED && name !== undefined) this.#families.reduced.of(this.#workflow, name).value++;
  }

  #attemptEnded(
    { accepted: { runId, traceparent } }: RunRecord,
    { number, endpoint, startedMs }: NonNullable<RunChange["attempt"]>,
    outcome: string,
    timeMs: number,
  ): void {
    const { count, duration } = this.#attemptCells(endpoint, outcome);
    count.value++;
    const traceId = keptTraceIdOf(traceparent);
    duration.record(Math.max(0, timeMs - startedMs) / 1000, timeMs, traceId, runId, "", number);
  }

  #attemptCells(endpoint: string, outcome: string): AttemptCells {
    let byEndpoint = this.#attempts.get(outcome);
    if (byEndpoint === undefined) {
      byEndpoint = new Map();
      this.#attempts.set(outcome, byEndpoint);
    }
    let cells = byEndpoint.get(endpoint);
    if (cells === undefined) {
      const { attempts, attemptDuration } = this.#families;
      cells = {
        count: attempts.of(this.#workflow, endpoint, outcome),
        duration: attemptDuration.of(this.#workflow, endpoint, outcome),
      };
      byEndpoint.set(endpoint, cells);
    }
    return cells;
  }
}

/** What an attempt that did not succeed came to. */
export function outcomeOf(failure: Failure | undefined, counted: boolean): "FAILED" | "INTERRUPTED" | "CANCELLED" {
  if (counted) return "FAILED";
  return isInterruption(failure) ? "INTERRUPTED" : "CANCELLED";
}

/** Why runs end EXPIRED. */
const expired = createFailure({ code: Code.DeadlineExceeded, reason: "DEADLINE", message: "", retryable: false });

function makeFamilies(instruments: Instruments): Families {
  const workflow = ["retake.workflow"];
  const attempt = ["retake.workflow", "retake.endpoint", "retake.outcome"];
  const kind = ["retake.failure.category", "retake.failure.severity", "retake.failure.reason"];
  const counter = (name: string, unit: string, description: string, attributes: readonly string[]) =>
    instruments.counter({ name, unit, description, attributes });
  const duration = (name: string, description: string, attributes: readonly string[]) =>
    instruments.histogram({ name, unit: "s", description, attributes }, durationBounds);
  return {
    started: counter("retake.runs.started", "{run}", "Runs that were accepted.", workflow),
    ended: counter("retake.runs.ended", "{run}", "Runs that have ended.", [
      "retake.workflow",
      "retake.run.state",
      "retake.failure.category",
    ]),
    duration: duration("retake.run.duration", "How long runs took, from their acceptance to their end.", [
      "retake.workflow",
      "retake.run.state",
    ]),
    queueDuration: duration(
      "retake.run.queue.duration",
      "How long runs waited from their acceptance to their first attempt.",
      workflow,
    ),
    attempts: counter("retake.attempts", "{attempt}", "Attempts that have ended.", attempt),
    attemptDuration: duration("retake.attempt.duration", "How long attempts took.", attempt),
    retries: counter("retake.retries", "{retry}", "Retries that were scheduled.", workflow),
    fallbacks: counter("retake.fallbacks", "{fallback}", "Fallbacks that runs have turned to.", workflow),
    stalled: counter(
      "retake.attempts.stalled",
      "{attempt}",
      "Attempts that were given up because nothing was heard of them (progress_timeout).",
      workflow,
    ),
    attemptFailures: counter(
      "retake.attempt.failures",
      "{failure}",
      "Attempts that have failed, by what failed them; not those that were interrupted or cancelled.",
      ["retake.workflow", "retake.endpoint", ...kind],
    ),
    runFailures: counter("retake.run.failures", "{failure}", "Runs that ended FAILED or EXPIRED, by what ended them.", [
      "retake.workflow",
      ...kind,
    ]),
    endedAfterFailure: counter(
      "retake.runs.ended_after_failure",
      "{run}",
      "Runs that have ended, of those in which an attempt had failed.",
      ["retake.workflow", "retake.run.state"],
    ),
    reduced: counter("retake.runs.reduced", "{run}", "Runs that have succeeded with less than the full quality.", [
      "retake.workflow",
      "retake.quality",
    ]),
    recoveries: counter("retake.recoveries", "{recovery}", "What was done to recover from failed attempts.", [
      "retake.workflow",
      "retake.recovery.action",
      "retake.outcome",
    ]),
    faults: counter("retake.faults", "{fault}", "Attempts that a drill has hit.", workflow),
  };
}
