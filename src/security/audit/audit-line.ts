import type { AuditEntry } from "./audit-entry.ts";

/** A line of the log as it is read: the JSON form of `retake.v1.AuditRecord`. What is empty is left out. */
export interface AuditLine {
  readonly sequence: string;
  readonly time: string;
  readonly action: string;
  readonly outcome: `AUDIT_OUTCOME_${"GRANTED" | "DENIED" | "FAILED"}`;
  readonly tenant?: string;
  readonly subject?: string;
  readonly level?: string;
  readonly authentication?: string;
  readonly credential?: string;
  readonly resource?: string;
  readonly source?: string;
  readonly reason?: string;
  readonly details?: Readonly<Record<string, string>>;
  readonly count?: string;
  readonly previousSha256?: string;
}

/**
 * A record as a line, without its line break: always the same bytes for the same record, since the next one holds their
 * digest. Written by hand, for it takes a third of the time that the general way takes.
 *
 * @param previousSha256 empty for the first of a log
 */
export function writeAuditLine(entry: AuditEntry, sequence: number, previousSha256: Uint8Array): string {
  let line = `{"sequence":"${sequence}","time":"${timeText(entry.timeMs)}"`;
  const add = (name: string, text: string): void => {
    if (text !== "") line += `,"${name}":${JSON.stringify(text)}`;
  };
  add("action", entry.action);
  add("outcome", `AUDIT_OUTCOME_${entry.outcome.toUpperCase()}`);
  add("tenant", entry.tenant);
  add("subject", entry.subject);
  add("level", entry.level === "" || entry.level === "UNSPECIFIED" ? "" : `ACCESS_LEVEL_${entry.level}`);
  add("authentication", entry.authentication);
  add("credential", entry.credential);
  add("resource", entry.resource);
  add("source", entry.source);
  add("reason", entry.reason);
  const names = Object.keys(entry.details).sort();
  if (names.length > 0) {
    const details = names.map((name) => `${JSON.stringify(name)}:${JSON.stringify(entry.details[name])}`);
    line += `,"details":{${details.join(",")}}`;
  }
  add("count", entry.count > 1 ? String(entry.count) : "");
  add("previousSha256", base64(previousSha256));
  return `${line}}`;
}

/** @throws SyntaxError */
export function readAuditLine(line: string): AuditLine {
  const read: unknown = JSON.parse(line);
  if (typeof read !== "object" || read === null) throw new SyntaxError("it is no record");
  return read as AuditLine;
}

/** As protobuf has it: without a fraction where there is none. */
function timeText(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(".000Z", "Z");
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}
