import type { Dimensions } from "./content-check.ts";

const headBytes = 16;

/** Of a directory with some 5,000 entries: real ones have twenty. */
const mostDirectoryBytes = 64 * 1024;

interface Layout {
  readonly littleEndian: boolean;
  /** BigTIFF: every number has 64 bits. */
  readonly big: boolean;
  /** Where the first directory is. */
  readonly offset: number;
}

/**
 * Reads the size of a TIFF's first image as its bytes come: the directory that tells it may be anywhere behind the head, and
 * most programs write it last.
 */
export class TiffSize {
  readonly #head = Buffer.alloc(headBytes);
  #layout: Layout | undefined;
  #directory: Buffer = Buffer.alloc(0);
  #taken = 0;

  add(chunk: Uint8Array): void {
    const start = this.#taken;
    this.#taken += chunk.length;
    if (start < headBytes) {
      copyOverlap(chunk, start, this.#head, 0);
      if (this.#taken < headBytes) return;
      this.#layout = layoutOf(this.#head);
      if (this.#layout === undefined) return;
      this.#directory = Buffer.alloc(mostDirectoryBytes);
      copyOverlap(this.#head, 0, this.#directory, this.#layout.offset);
    }
    if (this.#layout !== undefined) copyOverlap(chunk, start, this.#directory, this.#layout.offset);
  }

  /** Undefined where it is no TIFF, or one that does not say. */
  get dimensions(): Dimensions | undefined {
    if (this.#layout === undefined) return undefined;
    const { offset } = this.#layout;
    return sizeIn(this.#directory.subarray(0, Math.max(0, this.#taken - offset)), this.#layout);
  }
}

function copyOverlap(from: Uint8Array, fromStart: number, to: Uint8Array, toStart: number): void {
  const start = Math.max(fromStart, toStart);
  const end = Math.min(fromStart + from.length, toStart + to.length);
  if (start < end) to.set(from.subarray(start - fromStart, end - fromStart), start - toStart);
}

/** Whether bytes begin as those of a TIFF do, of which its directory is needed to tell more. */
export function isTiff(head: Uint8Array): boolean {
  return /^(II[*+]\0|MM\0[*+])/.test(Buffer.from(head.subarray(0, 4)).toString("latin1"));
}

function layoutOf(head: Buffer): Layout | undefined {
  const order = head.toString("latin1", 0, 2);
  if (order !== "II" && order !== "MM") return undefined;
  const littleEndian = order === "II";
  const view = viewOf(head);
  const version = view.getUint16(2, littleEndian);
  if (version === 42) return { littleEndian, big: false, offset: view.getUint32(4, littleEndian) };
  return version === 43 ? { littleEndian, big: true, offset: Number(view.getBigUint64(8, littleEndian)) } : undefined;
}

const widthTag = 256;
const heightTag = 257;

/** Of entries that contradict each other the largest counts: programs differ in which they take. */
function sizeIn(directory: Buffer, { littleEndian, big }: Layout): Dimensions | undefined {
  const [countBytes, entryBytes] = big ? [8, 20] : [2, 12];
  if (directory.length < countBytes) return undefined;
  const view = viewOf(directory);
  const count = big ? Number(view.getBigUint64(0, littleEndian)) : view.getUint16(0, littleEndian);
  if (countBytes + count * entryBytes > directory.length) return undefined;
  const found = { width: 0, height: 0 };
  for (let at = countBytes; at < countBytes + count * entryBytes; at += entryBytes) {
    const tag = view.getUint16(at, littleEndian);
    if (tag !== widthTag && tag !== heightTag) continue;
    const value = valueAt(view, at, big, littleEndian);
    if (value === undefined) return undefined;
    const side = tag === widthTag ? "width" : "height";
    found[side] = Math.max(found[side], value);
  }
  return found;
}

function valueAt(view: DataView, at: number, big: boolean, littleEndian: boolean): number | undefined {
  const values = big ? Number(view.getBigUint64(at + 4, littleEndian)) : view.getUint32(at + 4, littleEndian);
  if (values !== 1) return undefined;
  const place = at + (big ? 12 : 8);
  switch (view.getUint16(at + 2, littleEndian)) {
    case 3:
      return view.getUint16(place, littleEndian);
    case 4:
      return view.getUint32(place, littleEndian);
    case 16:
      return big ? Number(view.getBigUint64(place, littleEndian)) : undefined;
    default:
      return undefined;
  }
}

function viewOf({ buffer, byteOffset, length }: Buffer): DataView {
  return new DataView(buffer, byteOffset, length);
}
