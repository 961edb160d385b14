import type { Principal } from "../principal.ts";

/** Something that was done, or not let be done, and by whom. */
export interface AuditEvent {
  /** A verb on a kind of thing, as in "run.start", "key.revoke", "call". */
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
}

/** For those who keep no record. */
export const noAudit: Audit = { record: () => undefined };
