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
  // Of the flags the last bit says it, and that is in the last digit.
  return traceparent !== "" && "13579bdf".includes(traceparent.charAt(54) || "-");
}

/** The trace that a W3C `traceparent` names, where it is kept; empty for none: nothing is to lead to one that nobody has. */
export function keptTraceIdOf(traceparent: string): string {
  return isSampled(traceparent) ? traceIdOf(traceparent) : "";
}
