import {
  finishRecord,
  ProtoWriter,
  type SeverityName,
  startRecord,
  type WrittenRecords,
  writeAttribute,
  writeLogHead,
  writeName,
  writeNamed,
} from "../../otlp/index.ts";
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

const countName = writeName("retake.audit.count");
const sequenceName = writeName("retake.audit.sequence");
/** Where the two times are in a template: each behind its field. */
const timeAt = 1;
const observedAt = 10;
/** Names of details are ours, and few. */
const mostNames = 1_000;

/** What is the same in all records that are alike, but for their times, which are in it. */
interface Template {
  readonly bytes: Buffer;
  timeMs: number;
}

/**
 * Writes records of the audit log as log records of OpenTelemetry, while they become lines: nearly all of a busy server are
 * alike, so that little of each is left to write.
 */
export class OtlpAuditWriter {
  readonly #writer: ProtoWriter;
  readonly #ends: number[] = [];
  readonly #templates = new Map<AuditKind, Template>();

  /** @param bytes how many there will be, about */
  constructor(bytes?: number) {
    this.#writer = new ProtoWriter(bytes);
  }

  /** @param kind redacted, like the details: the same object for records that are alike */
  add(kind: AuditKind, entry: Pick<AuditEntry, "timeMs" | "details" | "count">, sequence: number): void {
    const writer = this.#writer;
    const { timeMs, details, count } = entry;
    let template = this.#templates.get(kind);
    if (template === undefined) {
      template = { bytes: writeTemplate(kind), timeMs: Number.NaN };
      this.#templates.set(kind, template);
    }
    if (template.timeMs !== timeMs) setTime(template, timeMs);
    const start = startRecord(writer);
    writer.raw(template.bytes);
    writeNamed(writer, 6, sequenceName, sequence);
    writeNamed(writer, 6, countName, count);
    for (const name in details) writeNamed(writer, 6, detailName(name), details[name] ?? "");
    finishRecord(writer, start);
    this.#ends.push(writer.length);
  }

  /** All of them, as arrays of their own: another thread may have them. */
  take(): WrittenRecords {
    const written = this.#writer.take();
    const isTight = written.length * 4 >= written.buffer.byteLength * 3;
    return { bytes: isTight ? written : new Uint8Array(written), ends: Uint32Array.from(this.#ends) };
  }
}

function setTime(template: Template, timeMs: number): void {
  const nanoseconds = BigInt(timeMs) * 1_000_000n;
  template.bytes.writeBigUInt64LE(nanoseconds, timeAt);
  template.bytes.writeBigUInt64LE(nanoseconds, observedAt);
  template.timeMs = timeMs;
}

const detailNames = new Map<string, Uint8Array>();

function detailName(name: string): Uint8Array {
  let written = detailNames.get(name);
  if (written === undefined) {
    written = writeName(`retake.audit.details.${name}`);
    if (detailNames.size < mostNames) detailNames.set(name, written);
  }
  return written;
}

/** The fields that are the same for all records that are alike, behind their times. */
function writeTemplate(kind: AuditKind): Buffer {
  const { action, outcome, tenant, subject, level, authentication, credential, resource, source, reason } = kind;
  const writer = new ProtoWriter();
  writer.fixed64(1, 0n);
  writer.fixed64(11, 0n);
  writeLogHead(writer, severities[outcome], [action, outcome, resource].filter((word) => word !== "").join(" "));
  writeAttribute(writer, 6, "retake.audit.level", level === "" ? "UNSPECIFIED" : level);
  const texts = { action, outcome, tenant, subject, authentication, credential, resource, source, reason };
  for (const [name, text] of Object.entries(texts)) {
    if (text !== "") writeAttribute(writer, 6, `retake.audit.${name}`, text);
  }
  writer.text(12, eventName);
  return writer.take();
}
