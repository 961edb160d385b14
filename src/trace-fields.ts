import { attemptSpanId, ownTraceId, runSpanId } from "./span-ids.ts";
import { isSampled, traceIdOf } from "./traceparent.ts";

/** What log lines say of the trace that they belong to, under the names that OpenTelemetry has for it. */
export interface TraceFields {
  readonly trace_id?: string;
  readonly span_id?: string;
}

/** What log lines say of the run that they are about, and of its trace. */
export interface RunFields extends TraceFields {
  readonly run_id: string;
}

const none: TraceFields = {};

/** The fields that a W3C `traceparent` gives a line of the log; none for none. */
export function traceFields(traceparent: string | null | undefined): TraceFields {
  const [, traceId, spanId] = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-/.exec(traceparent ?? "") ?? [];
  return traceId === undefined || spanId === undefined ? none : { trace_id: traceId, span_id: spanId };
}

/** Those of a trace that is kept: none leads to one that nobody has. */
export function keptTraceFields(traceparent: string | null): TraceFields {
  return traceparent !== null && isSampled(traceparent) ? traceFields(traceparent) : none;
}

/**
 * The fields of a line that is about a run, or about one of its attempts. They name the spans that the run has where its
 * trace is kept, and lead from line to line where it is not.
 */
export function runFields(
  { runId, traceparent }: { readonly runId: string; readonly traceparent: string },
  attempt?: number,
): RunFields {
  return {
    run_id: runId,
    trace_id: traceIdOf(traceparent) || ownTraceId(runId),
    span_id: attempt === undefined ? runSpanId(runId) : attemptSpanId(runId, attempt),
  };
}
