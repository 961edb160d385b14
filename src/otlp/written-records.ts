import { ProtoWriter } from "./proto-writer.ts";

/** Messages that are written, one behind the other: what passes from thread to thread as quickly as two arrays. */
export interface WrittenRecords {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where each of them ends. */
  readonly ends: Uint32Array<ArrayBuffer>;
}

export function writeRecords<T>(
  items: readonly T[],
  write: (writer: ProtoWriter, item: T) => void,
  bytesOfOne = 512,
): WrittenRecords {
  const writer = new ProtoWriter(items.length * bytesOfOne);
  const ends = new Uint32Array(items.length);
  items.forEach((item, index) => {
    write(writer, item);
    ends[index] = writer.length;
  });
  return { bytes: writer.take(), ends };
}

/** Each of them, as a part of what they were written to. */
export function recordsOf({ bytes, ends }: WrittenRecords): Uint8Array[] {
  let start = 0;
  return Array.from(ends, (end) => {
    const record = bytes.subarray(start, end);
    start = end;
    return record;
  });
}
