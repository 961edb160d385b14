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

/** One that says which line has the rest of it. */
type Alike = [line: number, timeMs: number, details: Record<string, string> | 0];

/** What is the same with other events of a batch. */
export type AuditKind = Omit<AuditEntry, "timeMs" | "details" | "count">;

export interface DecodedEvent extends Pick<AuditEntry, "timeMs" | "details" | "count"> {
  /** The same object for events that are alike. */
  readonly kind: AuditKind;
}

/** What `AuditBatch` has written; whole lines of `encodeEntry` will do, too. */
export function* decodeBatch(text: string): Iterable<DecodedEvent> {
  const kinds: (AuditKind | undefined)[] = [];
  for (const line of text.split("\n")) {
    const read = JSON.parse(line) as Encoded | Alike;
    if (read.length === 3) {
      const [at, timeMs, details] = read;
      const kind = kinds[at];
      if (kind === undefined) throw new SyntaxError(`line ${at} of a batch of the audit log has no kind`);
      kinds.push(undefined);
      yield { kind, timeMs, details: detailsOf(details), count: 1 };
    } else {
      const [timeMs, action, outcome, who, resource, source, reason, details, count] = read;
      const [tenant, subject, level, authentication, credential] = who;
      const kind = { action, outcome, tenant, subject, level, authentication, credential, resource, source, reason };
      kinds.push(kind);
      yield { kind, timeMs, details: detailsOf(details), count };
    }
  }
}

function detailsOf(details: Record<string, string> | 0): Record<string, string> {
  return details === 0 ? {} : details;
}
