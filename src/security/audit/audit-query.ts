import type { AuditLine } from "./audit-line.ts";

/** Which records. */
export interface AuditQuery {
  readonly sinceMs?: number;
  readonly untilMs?: number;
  readonly subject?: string;
  readonly tenant?: string;
  /** A name, or "prefix*". */
  readonly action?: string;
  readonly resource?: string;
  readonly outcomes?: readonly AuditLine["outcome"][];
}

/** Whether an action is one that a pattern means: its name, or "run.*". */
export function matchesAction(pattern: string, action: string): boolean {
  return pattern.endsWith("*") ? action.startsWith(pattern.slice(0, -1)) : pattern === action;
}

/** Tells lines apart without reading most of them. */
export function lineMatcher(query: AuditQuery): (line: string) => boolean {
  const { subject, tenant, action, resource, outcomes, sinceMs, untilMs } = query;
  // As they stand in a line. A text may stand in another field too, so what is found is looked at.
  const texts = [subject, tenant, resource, action?.endsWith("*") ? undefined : action]
    .filter((text) => text !== undefined)
    .map((text) => JSON.stringify(text));
  return (text) => {
    if (!texts.every((each) => text.includes(each))) return false;
    const line = JSON.parse(text) as AuditLine;
    const timeMs = Date.parse(line.time);
    return (
      timeMs >= (sinceMs ?? Number.NEGATIVE_INFINITY) &&
      timeMs < (untilMs ?? Number.POSITIVE_INFINITY) &&
      (subject === undefined || line.subject === subject) &&
      (tenant === undefined || line.tenant === tenant) &&
      (resource === undefined || line.resource === resource) &&
      (action === undefined || matchesAction(action, line.action)) &&
      (outcomes === undefined || outcomes.includes(line.outcome))
    );
  };
}

/** A portion of a search. */
export interface AuditSlice {
  readonly lines: readonly string[];
  /** The number of the record to go on from, that one with it. Undefined when there are no more. */
  readonly next?: number;
}

/** In which order, from which record on, and how many at most. */
export interface AuditPage {
  readonly oldestFirst: boolean;
  /** Default: the one that comes first. */
  readonly from?: number;
  readonly limit: number;
}

/** Looks through the records of one file until it has enough of them. */
export function searchLines(
  lines: readonly string[],
  first: number,
  page: AuditPage,
  matches: (line: string) => boolean,
): { readonly found: string[]; readonly next: number } {
  const { oldestFirst, limit, from } = page;
  const step = oldestFirst ? 1 : -1;
  const found: string[] = [];
  let at = from === undefined ? (oldestFirst ? 0 : lines.length - 1) : from - first;
  for (; at >= 0 && at < lines.length && found.length < limit; at += step) {
    const line = lines[at] ?? "";
    if (matches(line)) found.push(line);
  }
  return { found, next: first + at };
}
