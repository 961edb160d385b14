import { type AttributeValue, type OtlpAttributes, writeAttributes, writeValue } from "./attributes.ts";
import type { ProtoWriter } from "./proto-writer.ts";

/** As OpenTelemetry numbers them. */
const severities = { debug: [5, "DEBUG"], info: [9, "INFO"], warn: [13, "WARN"], error: [17, "ERROR"] } as const;

export type SeverityName = keyof typeof severities;

export interface OtlpLogRecord {
  readonly timeMs: number;
  readonly severity: SeverityName;
  readonly body: AttributeValue;
  readonly attributes: OtlpAttributes;
  /** Which kind of event it is, where it is one. */
  readonly eventName?: string;
  /** The span that it belongs to, by ids in hex. */
  readonly span?: { readonly traceId: string; readonly spanId: string };
}

/** A LogRecord's fields, and nothing around them. */
export function writeLogRecord(writer: ProtoWriter, record: OtlpLogRecord): void {
  const { timeMs, severity, body, attributes, eventName, span } = record;
  const nanoseconds = BigInt(Math.round(timeMs)) * 1_000_000n;
  writer.fixed64(1, nanoseconds);
  writeLogHead(writer, severity, body);
  writeAttributes(writer, 6, attributes);
  if (span !== undefined) {
    writer.fixed32(8, 1);
    writer.hex(9, span.traceId);
    writer.hex(10, span.spanId);
  }
  writer.fixed64(11, nanoseconds);
  if (eventName !== undefined) writer.text(12, eventName);
}

/** What a record says first, but for its time. */
export function writeLogHead(writer: ProtoWriter, severity: SeverityName, body: AttributeValue): void {
  const [number, text] = severities[severity];
  writer.varint(2, number);
  writer.text(3, text);
  if (body !== undefined) writeValue(writer, 5, body);
}
