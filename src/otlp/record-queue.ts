import { ProtoWriter } from "./proto-writer.ts";
import { finishRecord, sliceRecords, startRecord, type WrittenRecords } from "./written-records.ts";

/** Most records of a busy second. */
const pieceBytes = 256 * 1024;
const initialBytes = 16 * 1024;

/**
 * Records that wait, in their order. They stay in the few pieces in which they come: an object for each of ten thousand a
 * second, which lives until they are sent, takes the garbage collector more time than it takes to write them.
 */
export class RecordQueue {
  #pieces: WrittenRecords[] = [];
  /** What those that come one by one are written to, behind all of the pieces. */
  #writer: ProtoWriter | undefined;
  #ends: number[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** @throws what writing it throws; then it is not there */
  write(write: (writer: ProtoWriter) => void): void {
    this.#writer ??= new ProtoWriter(initialBytes);
    const writer = this.#writer;
    const { length } = writer;
    try {
      const start = startRecord(writer);
      write(writer);
      finishRecord(writer, start);
    } catch (error) {
      writer.cut(length);
      throw error;
    }
    this.#ends.push(writer.length);
    this.#length++;
    if (writer.length >= pieceBytes) this.#finishPiece();
  }

  /** What is handed on must not be written to any more. */
  add(records: WrittenRecords): void {
    if (records.ends.length === 0) return;
    this.#finishPiece();
    this.#pieces.push(records);
    this.#length += records.ends.length;
  }

  /** The first of them, up to so many, with no more bytes than that unless one alone has more. They stay. */
  first(most: number, mostBytes: number): readonly WrittenRecords[] {
    this.#finishPiece();
    const taken: WrittenRecords[] = [];
    let [records, bytes] = [most, mostBytes];
    for (const piece of this.#pieces) {
      const fitting = countWithin(piece.ends, records, bytes);
      const count = fitting === 0 && taken.length === 0 && records > 0 ? 1 : fitting;
      if (count > 0) taken.push(count === piece.ends.length ? piece : sliceRecords(piece, 0, count));
      if (count < piece.ends.length) break;
      records -= count;
      bytes -= piece.bytes.length;
    }
    return taken;
  }

  /** The first of them are wanted no more. */
  drop(count: number): void {
    this.#finishPiece();
    let left = Math.min(count, this.#length);
    this.#length -= left;
    let whole = 0;
    for (const { ends } of this.#pieces) {
      if (ends.length > left) break;
      left -= ends.length;
      whole++;
    }
    this.#pieces.splice(0, whole);
    const [first] = this.#pieces;
    if (first !== undefined && left > 0) this.#pieces[0] = sliceRecords(first, left, first.ends.length);
  }

  #finishPiece(): void {
    if (this.#writer === undefined || this.#ends.length === 0) return;
    this.#pieces.push({ bytes: this.#writer.take(), ends: Uint32Array.from(this.#ends) });
    this.#writer = undefined;
    this.#ends = [];
  }
}

/** How many of the first records have at most so many bytes together. */
function countWithin(ends: Uint32Array, most: number, mostBytes: number): number {
  let count = 0;
  while (count < most && count < ends.length && (ends[count] as number) <= mostBytes) count++;
  return count;
}
