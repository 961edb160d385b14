import { hash } from "node:crypto";
import type { TextRedactor } from "../redaction/index.ts";
import { type AuditEntry, decodeEntry } from "./audit-entry.ts";
import { writeAuditLine } from "./audit-line.ts";
import { hostOf } from "./host-of.ts";

/** Where a chain is: its last record, and the digest of that. */
export interface ChainEnd {
  readonly sequence: number;
  /** Empty before the first. */
  readonly sha256: Uint8Array;
}

export const chainStart: ChainEnd = { sequence: 0, sha256: new Uint8Array() };

export function lineDigest(line: string | Uint8Array): Uint8Array {
  return hash("sha256", line, "buffer");
}

export interface ChainedLines {
  readonly lines: readonly string[];
  readonly end: ChainEnd;
  /** When the last of them was made. */
  readonly lastMs: number;
}

/** Makes records of events: redacted, numbered, each with the digest of the one before. */
export function chainLines(
  batch: string,
  from: ChainEnd,
  redactor: Pick<TextRedactor, "text" | "address">,
): ChainedLines {
  const lines: string[] = [];
  let { sequence, sha256 } = from;
  let lastMs = 0;
  for (const text of batch.split("\n")) {
    const entry = withoutPersonalData(decodeEntry(text), redactor);
    const line = writeAuditLine(entry, ++sequence, sha256);
    sha256 = lineDigest(line);
    lastMs = Math.max(lastMs, entry.timeMs);
    lines.push(line);
  }
  return { lines, end: { sequence, sha256 }, lastMs };
}

function withoutPersonalData(entry: AuditEntry, redactor: Pick<TextRedactor, "text" | "address">): AuditEntry {
  const details: Record<string, string> = {};
  for (const [name, text] of Object.entries(entry.details)) details[name] = redactor.text(text);
  return {
    ...entry,
    tenant: redactor.text(entry.tenant),
    subject: redactor.text(entry.subject),
    credential: redactor.text(entry.credential),
    resource: redactor.text(entry.resource),
    source: redactor.address(hostOf(entry.source)),
    reason: redactor.text(entry.reason),
    details,
  };
}
