/** The trace that a W3C `traceparent` names; empty for none. */
export function traceIdOf(traceparent: string): string {
  return traceparent === "" ? "" : traceparent.slice(3, 35);
}

/** The span that a W3C `traceparent` names; empty for none. */
export function spanIdOf(traceparent: string): string {
  return traceparent === "" ? "" : traceparent.slice(36, 52);
}

/** Whether whoever sent a W3C `traceparent` keeps its trace. */
export function isSampled(traceparent: string): boolean {
  return traceparent !== "" && (Number.parseInt(traceparent.slice(53, 55), 16) & 1) === 1;
}
