import { type OtlpAttributes, writeAttributes } from "./attributes.ts";
import type { ProtoWriter } from "./proto-writer.ts";

/** A span, all of which is known at its end. Ids are in hex. */
export interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string | undefined;
  /** The parent is in another process. */
  readonly remoteParent?: boolean;
  readonly name: string;
  /** By the number that OpenTelemetry's API has for it. */
  readonly kind: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: OtlpAttributes;
  /** What went wrong, if anything did. */
  readonly error?: string | undefined;
  /** Spans of the same trace that led to this one. */
  readonly linkedSpanIds?: readonly string[];
}

const sampled = 0x01;
/** It is said whether the parent is remote. */
const hasIsRemote = 0x100;
const isRemote = 0x200;
const statusError = 2;

/** A Span's fields, and nothing around them. */
export function writeSpan(writer: ProtoWriter, span: OtlpSpan): void {
  const { traceId, parentSpanId, remoteParent, startMs, endMs, error, linkedSpanIds = [] } = span;
  const hasParent = parentSpanId !== undefined && parentSpanId !== "";
  writer.hex(1, traceId);
  writer.hex(2, span.spanId);
  if (hasParent) writer.hex(4, parentSpanId);
  writer.text(5, span.name);
  // 0 is a kind that is not known.
  writer.varint(6, span.kind + 1);
  writer.fixed64(7, nanoseconds(startMs));
  writer.fixed64(8, nanoseconds(Math.max(startMs, endMs)));
  writeAttributes(writer, 9, span.attributes);
  for (const id of linkedSpanIds) {
    const link = writer.start(13);
    writer.hex(1, traceId);
    writer.hex(2, id);
    writer.fixed32(6, sampled | hasIsRemote);
    writer.finish(link);
  }
  if (error !== undefined) {
    const status = writer.start(15);
    if (error !== "") writer.text(2, error);
    writer.varint(3, statusError);
    writer.finish(status);
  }
  writer.fixed32(16, sampled | hasIsRemote | (hasParent && remoteParent === true ? isRemote : 0));
}

/** To the microsecond: a number has no room for more. */
function nanoseconds(timeMs: number): bigint {
  return BigInt(Math.round(timeMs * 1_000)) * 1_000n;
}
