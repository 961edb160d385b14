/** The bytes of records that were appended together: alone as they are, else behind the lengths of all but the last. */
export function packRecords(records: readonly Uint8Array[]): Uint8Array {
  const [only] = records;
  if (records.length === 1 && only !== undefined) {
    return only;
  }
  const headerBytes = 4 * (records.length - 1);
  let bytes = headerBytes;
  for (const record of records) {
    bytes += record.length;
  }
  // From Node's pool, since SQLite copies it.
  const chunk = Buffer.allocUnsafe(bytes);
  let offset = headerBytes;
  records.forEach((record, index) => {
    if (4 * index < headerBytes) {
      chunk.writeUInt32LE(record.length, 4 * index);
    }
    chunk.set(record, offset);
    offset += record.length;
  });
  return chunk;
}

/** @throws RangeError when the bytes do not hold that many records */
export function unpackRecords(chunk: Uint8Array, count: number): readonly Uint8Array[] {
  if (count === 1) {
    return [chunk];
  }
  const header = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  const records: Uint8Array[] = [];
  let offset = 4 * (count - 1);
  for (let index = 0; index < count - 1; index++) {
    const end = offset + header.getUint32(4 * index, true);
    records.push(chunk.subarray(offset, end));
    offset = end;
  }
  if (offset > chunk.length) {
    throw new RangeError(`${count} records do not fit into ${chunk.length} bytes`);
  }
  records.push(chunk.subarray(offset));
  return records;
}
