/** What log lines say of the trace that they belong to, under the names that OpenTelemetry has for it. */
export interface TraceFields {
  readonly trace_id?: string;
  readonly span_id?: string;
}

const none: TraceFields = {};

/** The fields that a W3C `traceparent` gives a line of the log; none for none. */
export function traceFields(traceparent: string | null): TraceFields {
  const [, traceId, spanId] = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-/.exec(traceparent ?? "") ?? [];
  return traceId === undefined || spanId === undefined ? none : { trace_id: traceId, span_id: spanId };
}
