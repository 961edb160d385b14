import type { AuditEvent } from "./audit.ts";

/** An event on its way into the log. */
export interface AuditEntry {
  readonly timeMs: number;
  readonly action: string;
  readonly outcome: AuditEvent["outcome"];
  readonly tenant: string;
  readonly subject: string;
  /** "ADMIN". */
  readonly level: string;
  readonly authentication: string;
  readonly credential: string;
  readonly resource: string;
  readonly source: string;
  readonly reason: string;
  readonly details: Readonly<Record<string, string>>;
  /** How many there were like it. */
  readonly count: number;
}

type Encoded = [
  timeMs: number,
  action: string,
  outcome: AuditEvent["outcome"],
  who: [tenant: string, subject: string, level: string, authentication: string, credential: string],
  resource: string,
  source: string,
  reason: string,
  details: Record<string, string> | 0,
  count: number,
];

export function decodeEntry(line: string): AuditEntry {
  const [timeMs, action, outcome, who, resource, source, reason, details, count] = JSON.parse(line) as Encoded;
  const [tenant, subject, level, authentication, credential] = who;
  return {
    ...{ timeMs, action, outcome, tenant, subject, level, authentication, credential, resource, source, reason, count },
    details: details === 0 ? {} : details,
  };
}
