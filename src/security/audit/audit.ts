import type { AuditRecord } from "../../../gen/retake/v1/audit_pb.js";
import type { Principal } from "../principal.ts";

/** Something that was done, or not let be done, and by whom. */
export interface AuditEvent {
  /** A verb on a kind of thing, as in "run.start", "key.revoke", "call": letters, digits, "." and "_". */
  readonly action: string;
  readonly outcome: "granted" | "denied" | "failed";
  readonly principal: Principal;
  /** What it was done to: a workflow's name, a run's or a key's id. */
  readonly resource: string;
  /** The address that the call came from; empty where it came from none. */
  readonly source: string;
  /** Why it was denied or failed, as the error's reason says. */
  readonly reason?: string;
  /** What else is worth knowing. No credentials, no contents of requests. */
  readonly details?: Readonly<Record<string, string>>;
}

/** Where these go. Recording neither throws nor is waited for. */
export interface Audit {
  record(event: AuditEvent): void;
  /** Whether nothing may be done now that would be recorded: it could not be, and the configuration wants it so. */
  readonly refuses: boolean;
  /** Whether events of this kind are recorded at all, for who would have to look something up first. */
  wants(action: string): boolean;
  /** Whether granted calls that change nothing are recorded. */
  readonly reads: boolean;
}

/** Where records go besides, once they are durable: telemetry, say. It neither throws nor is waited for. */
export interface AuditSink {
  write(records: readonly AuditRecord[]): void;
}

/** For those who keep no record. */
export const noAudit: Audit = { record: () => undefined, refuses: false, wants: () => false, reads: false };
