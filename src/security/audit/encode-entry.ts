import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import type { Principal } from "../principal.ts";
import type { AuditEvent } from "./audit.ts";

/** As text the part that is the same with each call of a caller. */
const principals = new WeakMap<Principal, string>();

/** An event as a line of text: what is done of it on the thread that has everything else to do. */
export function encodeEntry(event: AuditEvent, timeMs: number, count: number): string {
  const { principal } = event;
  let who = principals.get(principal);
  if (who === undefined) {
    const { tenant, subject, level, authentication, credential = "" } = principal;
    who = JSON.stringify([tenant, subject, AccessLevel[level] ?? "", authentication, credential]);
    principals.set(principal, who);
  }
  const details = event.details === undefined ? "0" : JSON.stringify(event.details);
  const reason = event.reason === undefined ? '""' : JSON.stringify(event.reason);
  return `[${timeMs},"${event.action}","${event.outcome}",${who},${JSON.stringify(event.resource)},${JSON.stringify(event.source)},${reason},${details},${count}]`;
}
