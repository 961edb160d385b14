import { hash } from "node:crypto";
import type { TextRedactor } from "../redaction/index.ts";
import { type AuditKind, decodeBatch } from "./audit-entry.ts";
import { base64, writeKind, writeLineOfKind } from "./audit-line.ts";
import type { OtlpAuditWriter } from "./audit-otlp.ts";
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

/**
 * Makes records of events: redacted, numbered, each with the digest of the one before.
 *
 * @param otlp writes them for export, too
 */
export function chainLines(
  batch: string,
  from: ChainEnd,
  redactor: Pick<TextRedactor, "text" | "address">,
  otlp?: OtlpAuditWriter,
): ChainedLines {
  const lines: string[] = [];
  let { sequence } = from;
  let previous = base64(from.sha256);
  let lastMs = 0;
  const kinds = new Map<AuditKind, { readonly kind: AuditKind; readonly text: string }>();
  for (const { kind, timeMs, details, count } of decodeBatch(batch)) {
    let written = kinds.get(kind);
    if (written === undefined) {
      const without = withoutPersonalData(kind, redactor);
      written = { kind: without, text: writeKind(without) };
      kinds.set(kind, written);
    }
    const entry = { timeMs, details: redacted(details, redactor), count };
    const line = writeLineOfKind(written.text, entry, ++sequence, previous);
    otlp?.add(written.kind, entry, sequence);
    previous = hash("sha256", line, "base64");
    lastMs = Math.max(lastMs, timeMs);
    lines.push(line);
  }
  return { lines, end: { sequence, sha256: Buffer.from(previous, "base64") }, lastMs };
}

function withoutPersonalData(kind: AuditKind, redactor: Pick<TextRedactor, "text" | "address">): AuditKind {
  return {
    ...kind,
    tenant: redactor.text(kind.tenant),
    subject: redactor.text(kind.subject),
    credential: redactor.text(kind.credential),
    resource: redactor.text(kind.resource),
    source: redactor.address(hostOf(kind.source)),
    reason: redactor.text(kind.reason),
  };
}

function redacted(details: Readonly<Record<string, string>>, redactor: Pick<TextRedactor, "text">) {
  const redacted: Record<string, string> = {};
  for (const name in details) redacted[name] = redactor.text(details[name] ?? "");
  return redacted;
}
