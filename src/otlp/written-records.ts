/** Messages that are written, one behind the other: what passes from thread to thread as quickly as two arrays. */
export interface WrittenRecords {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where each of them ends. */
  readonly ends: Uint32Array<ArrayBuffer>;
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
