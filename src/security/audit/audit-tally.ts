import { type AuditLine, readAuditLine } from "./audit-line.ts";

/** What is counted of records; two of them add up. */
export interface AuditTally {
  events: number;
  denied: number;
  lockouts: number;
  lost: number;
  readonly actions: Map<string, number>;
  readonly subjects: Map<string, { granted: number; denied: number; failed: number }>;
  readonly deniedAccess: Map<string, { count: number; lastMs: number }>;
  truncated: boolean;
}

/** Kinds that are counted apart: more than anybody reads, fewer than an attacker can make. */
const mostKinds = 10_000;

export function emptyTally(): AuditTally {
  return {
    ...{ events: 0, denied: 0, lockouts: 0, lost: 0, truncated: false },
    ...{ actions: new Map(), subjects: new Map(), deniedAccess: new Map() },
  };
}

/** Counts one line, if it is of that time. */
export function tallyLine(tally: AuditTally, text: string, sinceMs: number, untilMs: number): void {
  const line = readAuditLine(text);
  const timeMs = Date.parse(line.time);
  if (timeMs < sinceMs || timeMs >= untilMs) return;
  const count = Number(line.count ?? "1");
  if (line.action === lostAction) {
    tally.lost += Number(line.details?.["records"] ?? 0);
    return;
  }
  tally.events += count;
  if (line.action === lockoutAction) tally.lockouts += count;
  const action = JSON.stringify([line.action, line.outcome]);
  if (room(tally, tally.actions, action)) {
    tally.actions.set(action, (tally.actions.get(action) ?? 0) + count);
  }
  countSubject(tally, line, count);
  if (line.outcome === "AUDIT_OUTCOME_DENIED") {
    tally.denied += count;
    const key = JSON.stringify([line.reason ?? "", line.resource ?? "", line.source ?? ""]);
    if (room(tally, tally.deniedAccess, key)) {
      const known = tally.deniedAccess.get(key);
      tally.deniedAccess.set(key, {
        count: (known?.count ?? 0) + count,
        lastMs: Math.max(known?.lastMs ?? 0, timeMs),
      });
    }
  }
}

/** Recorded when records could not be: as many as `details.records` says. */
export const lostAction = "audit.lose";

/** The log was not as it was written, and another one has begun. */
export const damagedAction = "audit.damaged";

/** Recorded when a source or a subject is locked out. */
export const lockoutAction = "auth.locked_out";

export function addTally(to: AuditTally, from: AuditTally): void {
  to.events += from.events;
  to.denied += from.denied;
  to.lockouts += from.lockouts;
  to.lost += from.lost;
  to.truncated ||= from.truncated;
  for (const [key, count] of from.actions) {
    if (room(to, to.actions, key)) to.actions.set(key, (to.actions.get(key) ?? 0) + count);
  }
  for (const [key, counts] of from.subjects) {
    if (!room(to, to.subjects, key)) continue;
    const known = to.subjects.get(key) ?? { granted: 0, denied: 0, failed: 0 };
    known.granted += counts.granted;
    known.denied += counts.denied;
    known.failed += counts.failed;
    to.subjects.set(key, known);
  }
  for (const [key, { count, lastMs }] of from.deniedAccess) {
    if (!room(to, to.deniedAccess, key)) continue;
    const known = to.deniedAccess.get(key);
    to.deniedAccess.set(key, { count: (known?.count ?? 0) + count, lastMs: Math.max(known?.lastMs ?? 0, lastMs) });
  }
}

function countSubject(tally: AuditTally, line: AuditLine, count: number): void {
  const key = JSON.stringify([line.tenant ?? "", line.subject ?? ""]);
  if (!room(tally, tally.subjects, key)) return;
  const counts = tally.subjects.get(key) ?? { granted: 0, denied: 0, failed: 0 };
  switch (line.outcome) {
    case "AUDIT_OUTCOME_GRANTED":
      counts.granted += count;
      break;
    case "AUDIT_OUTCOME_DENIED":
      counts.denied += count;
      break;
    case "AUDIT_OUTCOME_FAILED":
      counts.failed += count;
      break;
  }
  tally.subjects.set(key, counts);
}

function room(tally: AuditTally, kinds: ReadonlyMap<string, unknown>, key: string): boolean {
  if (kinds.size < mostKinds || kinds.has(key)) return true;
  tally.truncated = true;
  return false;
}
