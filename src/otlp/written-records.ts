import type { ProtoWriter } from "./proto-writer.ts";

/** Spans in a ScopeSpans, and log records in a ScopeLogs. */
const recordField = 2;
/** Most have 128 bytes and more, and none 16 KB. */
const lengthBytes = 2;

/**
 * Messages that are written, one behind the other, each as it is in what it is exported in: with its field and its length. They
 * pass from thread to thread as quickly as two arrays.
 */
export interface WrittenRecords {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where each of them ends. */
  readonly ends: Uint32Array<ArrayBuffer>;
}

/** Some of them, from the one with the first index up to that before the second, as a part of what they were written to. */
export function sliceRecords({ bytes, ends }: WrittenRecords, from: number, to: number): WrittenRecords {
  const start = ends[from - 1] ?? 0;
  const end = ends[to - 1] ?? start;
  const own = ends.subarray(from, to);
  return { bytes: bytes.subarray(start, end), ends: start === 0 ? own : own.map((each) => each - start) };
}

export function startRecord(writer: ProtoWriter): number {
  return writer.start(recordField, lengthBytes);
}

export function finishRecord(writer: ProtoWriter, start: number): void {
  writer.finish(start, lengthBytes);
}
