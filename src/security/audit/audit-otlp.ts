import { ProtoWriter, type SeverityName, type WrittenRecords, writeAttribute, writeLogHead } from "../../otlp/index.ts";
import type { AuditEntry, AuditKind } from "./audit-entry.ts";

/** Takes records as they are exported, once they are durable. It neither throws nor is waited for. */
export interface OtlpAuditSink {
  take(records: WrittenRecords): void;
}

/** What records are told by in the midst of lines of the log. */
const eventName = "retake.audit";

const severities: Readonly<Record<AuditEntry["outcome"], SeverityName>> = {
  granted: "info",
  denied: "warn",
  failed: "error",
};

/**
 * Writes records of the audit log as log records of OpenTelemetry, while they become lines: nearly all of a busy server are
 * alike, so that little of each is left to write.
 */
export class OtlpAuditWriter {
  readonly #writer = new ProtoWriter();
  readonly #ends: number[] = [];
  readonly #kinds = new Map<AuditKind, Uint8Array>();

  /** @param kind redacted, like the details: the same object for records that are alike */
  add(kind: AuditKind, entry: Pick<AuditEntry, "timeMs" | "details" | "count">, sequence: number): void {
    const writer = this.#writer;
    let written = this.#kinds.get(kind);
    if (written === undefined) {
      written = writeKind(kind);
      this.#kinds.set(kind, written);
    }
    const { timeMs, details, count } = entry;
    const nanoseconds = BigInt(timeMs) * 1_000_000n;
    writer.fixed64(1, nanoseconds);
    writer.raw(written);
    writeAttribute(writer, 6, "retake.audit.sequence", sequence);
    writeAttribute(writer, 6, "retake.audit.count", count);
    for (const name in details) writeAttribute(writer, 6, `retake.audit.details.${name}`, details[name] ?? "");
    writer.fixed64(11, nanoseconds);
    this.#ends.push(writer.length);
  }

  take(): WrittenRecords {
    // A copy: whatever is behind the last would go to another thread with them.
    return { bytes: new Uint8Array(this.#writer.take()), ends: Uint32Array.from(this.#ends) };
  }
}

/** The fields that are the same for all records that are alike. */
function writeKind(kind: AuditKind): Uint8Array {
  const { action, outcome, tenant, subject, level, authentication, credential, resource, source, reason } = kind;
  const writer = new ProtoWriter();
  writeLogHead(writer, severities[outcome], [action, outcome, resource].filter((word) => word !== "").join(" "));
  writeAttribute(writer, 6, "retake.audit.level", level === "" ? "UNSPECIFIED" : level);
  const texts = { action, outcome, tenant, subject, authentication, credential, resource, source, reason };
  for (const [name, text] of Object.entries(texts)) {
    if (text !== "") writeAttribute(writer, 6, `retake.audit.${name}`, text);
  }
  writer.text(12, eventName);
  return writer.take();
}
