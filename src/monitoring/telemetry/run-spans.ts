import { SpanKind } from "@opentelemetry/api";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import { type Failure, RunState } from "../../../gen/retake/v1/run_pb.js";
import type { OtlpAttributes } from "../../otlp/index.ts";
import {
  codeName,
  isTerminal,
  msFromDuration,
  type RunChange,
  type RunObserver,
  type RunRecord,
} from "../../runs/index.ts";
import { attemptSpanId, callSpanId, runSpanId, stepSpanId } from "../../span-ids.ts";
import { spanIdOf } from "../../traceparent.ts";
import { serverOf } from "../../transport/index.ts";
import { outcomeOf } from "./run-metrics.ts";
import type { EndedSpan, Tracing } from "./tracing.ts";

const inProcess = "in-process";

/** How long before a run's last event spans may have ended that nobody was sent: as long as receivers may be away. */
const unsentMs = 600_000;

/** Where spans belong, and whether they were made before. */
type Trace = Pick<EndedSpan, "traceId" | "again">;

/**
 * The spans of runs, attempts, steps and calls of back-ends: a view of the journal's events, made when what they are about
 * has ended. An attempt that a crash has cut off ends when the next process says so, and the one that follows is linked
 * to it.
 */
export class RunSpans implements RunObserver {
  /** An earlier process has told receivers of what happened before. */
  toldMs = Number.NEGATIVE_INFINITY;
  readonly #tracing: Tracing;

  constructor(tracing: Tracing) {
    this.#tracing = tracing;
  }

  /** Spans that were sent before have the same ids, so that receivers keep one of them. */
  retold(run: RunRecord, changes: readonly RunChange[]): void {
    const recent = changes.filter(({ timeMs }) => timeMs >= this.toldMs && timeMs >= run.lastEventMs - unsentMs);
    this.#tellAll(run, recent, true);
  }

  found(): void {
    // That it is there is no span.
  }

  committed(run: RunRecord, changes: readonly RunChange[]): void {
    this.#tellAll(run, changes, false);
  }

  #tellAll(run: RunRecord, changes: readonly RunChange[], again: boolean): void {
    const { runId, traceparent } = run.accepted;
    const traceId = this.#tracing.traceOf(runId, traceparent);
    if (traceId === undefined) return;
    for (const change of changes) this.#tell(run, change, { traceId, again });
  }

  #tell(run: RunRecord, change: RunChange, trace: Trace): void {
    const { body, attempt, timeMs, after } = change;
    switch (body.case) {
      case "stepCompleted":
        // One that a rerun has kept was not executed here.
        if (attempt !== undefined && body.value.keptFrom === "") {
          const { executionTime, tries } = body.value;
          // Handlers make names of what they are given.
          const name = this.#tracing.redacted(body.value.name);
          this.#tracing.end({
            ...trace,
            spanId: stepSpanId(run.accepted.runId, attempt.number, body.value.name),
            parentSpanId: attemptSpanId(run.accepted.runId, attempt.number),
            name: `step ${name}`,
            kind: SpanKind.INTERNAL,
            startMs: timeMs - msFromDuration(executionTime),
            endMs: timeMs,
            attributes: { ...ofRun(run), "retake.step": name, "retake.step.tries": tries },
          });
        }
        return;
      case "attemptFailed":
        this.#endAttempt(run, change, trace, outcomeOf(body.value.failure, body.value.counted), body.value.failure);
        return;
      case "succeeded":
        this.#endAttempt(run, change, trace, "SUCCEEDED");
        break;
    }
    if (isTerminal(after)) {
      this.#endRun(run, change, trace, body.case === "failed" ? body.value.failure : undefined);
    }
  }

  #endRun(run: RunRecord, { after, timeMs }: RunChange, trace: Trace, failure: Failure | undefined): void {
    const { runId, traceparent, parentRunId } = run.accepted;
    this.#tracing.end({
      ...trace,
      spanId: runSpanId(runId),
      parentSpanId: parentRunId === "" ? spanIdOf(traceparent) : runSpanId(parentRunId),
      name: `run ${run.accepted.workflow}`,
      kind: SpanKind.INTERNAL,
      startMs: run.createTimeMs,
      endMs: timeMs,
      attributes: { ...ofRun(run), "retake.run.state": RunState[after] ?? "", ...this.#ofFailure(failure) },
      ...(failure !== undefined && { error: failure.message }),
    });
  }

  #endAttempt(run: RunRecord, change: RunChange, trace: Trace, outcome: string, failure?: Failure): void {
    const { attempt, timeMs: endMs } = change;
    if (attempt === undefined) return;
    const { runId, workflow } = run.accepted;
    const { number, endpoint, startedMs: startMs } = attempt;
    const spanId = attemptSpanId(runId, number);
    const error = failure === undefined ? {} : { error: failure.message };
    const attributes: OtlpAttributes = {
      ...ofRun(run),
      "retake.attempt": number,
      "retake.endpoint": endpoint,
      "retake.outcome": outcome,
      ...this.#ofFailure(failure),
    };
    this.#tracing.end({
      ...{ ...trace, spanId, startMs, endMs, attributes, ...error },
      parentSpanId: runSpanId(runId),
      name: `attempt ${workflow}`,
      kind: SpanKind.INTERNAL,
      linkedSpanIds: number > 1 ? [attemptSpanId(runId, number - 1)] : [],
    });
    if (endpoint === inProcess) return;
    const server = serverOf(endpoint);
    this.#tracing.end({
      ...{ ...trace, startMs, endMs, ...error },
      spanId: callSpanId(runId, number),
      parentSpanId: spanId,
      name: workflow,
      kind: SpanKind.CLIENT,
      attributes: {
        ...{ "rpc.system.name": "grpc", "rpc.method": workflow },
        "rpc.status_code": failure === undefined ? "OK" : codeName(failure.code),
        ...(failure !== undefined && { "error.type": codeName(failure.code) }),
        "server.address": server.address,
        ...(server.port !== undefined && { "server.port": server.port }),
        "retake.run.id": runId,
      },
    });
  }

  #ofFailure(failure: Failure | undefined): OtlpAttributes {
    if (failure === undefined) return {};
    return {
      // A back-end's own words, maybe.
      "error.type": this.#tracing.redacted(failure.reason),
      "retake.failure.category": FailureCategory[failure.category] ?? "",
    };
  }
}

function ofRun({ accepted: { runId, workflow } }: RunRecord): OtlpAttributes {
  return { "retake.run.id": runId, "retake.workflow": workflow };
}
