/** "grpc-status" in the Huffman code of HPACK (RFC 7541, appendix B). */
const compressedName = Buffer.from("9acac8b21234da8f", "hex");
const plainName = Buffer.from("grpc-status");

/**
 * The `grpc-status` in a header block, as text; undefined when there is none. For blocks from a peer that was told to keep
 * no dynamic table (SETTINGS_HEADER_TABLE_SIZE 0), so that each can be read for itself. Numbers are never compressed,
 * because that makes them no shorter.
 *
 * @throws Error when the block is not of that kind
 */
export function readGrpcStatus(block: Buffer): string | undefined {
  let offset = 0;

  /** An integer with a prefix of so many bits. */
  const integer = (prefixBits: number): number => {
    const largest = (1 << prefixBits) - 1;
    let value = byte() & largest;
    if (value === largest) {
      for (let shift = 0; ; shift += 7) {
        const next = byte();
        value += (next & 0x7f) * 2 ** shift;
        if (next < 0x80) {
          break;
        }
      }
    }
    return value;
  };
  const byte = (): number => {
    const value = block[offset++];
    if (value === undefined) {
      throw new Error("a header block ends in the middle of a field");
    }
    return value;
  };
  /** Reads past a string; tells whether it is "grpc-status". */
  const isStatusName = (): boolean => {
    const compressed = ((block[offset] ?? 0) & 0x80) !== 0;
    const length = integer(7);
    const expected = compressed ? compressedName : plainName;
    const start = offset;
    offset += length;
    return length === expected.length && expected.compare(block, start, offset) === 0;
  };

  while (offset < block.length) {
    const first = block[offset] ?? 0;
    if (first >= 0x80) {
      if (integer(7) > 61) {
        throw new Error("a header block refers to the dynamic table, which the server was told not to keep");
      }
    } else if (first >= 0x20 && first < 0x40) {
      integer(5);
    } else {
      const named = integer(first >= 0x40 ? 6 : 4) !== 0;
      const isStatus = !named && isStatusName();
      const compressed = ((block[offset] ?? 0) & 0x80) !== 0;
      const length = integer(7);
      if (isStatus && !compressed) {
        return block.toString("latin1", offset, offset + length);
      }
      offset += length;
    }
  }
  return undefined;
}
