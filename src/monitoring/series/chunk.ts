import { BitReader } from "./bit-reader.ts";
import { BitWriter } from "./bit-writer.ts";

/**
 * Samples of one series, each in two bits while nothing changes: times as differences of differences, values as what
 * differs from the one before (Gorilla, VLDB 2015, with the code lengths of Prometheus for milliseconds).
 */
export class ChunkWriter {
  readonly #bits = new BitWriter();
  #samples = 0;
  #firstMs = 0;
  #lastMs = 0;
  #deltaMs = 0;
  #high = 0;
  #low = 0;
  #leading = 32;
  #trailing = 0;

  get samples(): number {
    return this.#samples;
  }

  /** Of the first sample, if there is one. */
  get startMs(): number {
    return this.#firstMs;
  }

  /** Of the last sample, if there is one. */
  get endMs(): number {
    return this.#lastMs;
  }

  /** Good until the next sample. */
  get bytes(): Uint8Array {
    return this.#bits.bytes;
  }

  /** Times are whole milliseconds and ascend. */
  append(timeMs: number, value: number): void {
    view.setFloat64(0, value);
    const high = view.getUint32(0);
    const low = view.getUint32(4);
    if (this.#samples === 0) {
      this.#firstMs = timeMs;
      this.#writeWide(timeMs);
      this.#bits.write(high, 32);
      this.#bits.write(low, 32);
    } else {
      const deltaMs = timeMs - this.#lastMs;
      this.#writeTime(deltaMs - this.#deltaMs);
      this.#deltaMs = deltaMs;
      this.#writeValue((high ^ this.#high) >>> 0, (low ^ this.#low) >>> 0);
    }
    this.#samples++;
    this.#lastMs = timeMs;
    this.#high = high;
    this.#low = low;
  }

  #writeTime(change: number): void {
    if (change === 0) {
      this.#bits.write(0b0, 1);
      return;
    }
    for (const [prefix, prefixBits, bits] of timeCodes) {
      const limit = 2 ** (bits - 1);
      if (change >= -limit && change < limit) {
        this.#bits.write(prefix, prefixBits);
        this.#bits.write(change & (2 ** bits - 1), bits);
        return;
      }
    }
    this.#bits.write(0b1111, 4);
    this.#writeWide(change);
  }

  #writeWide(value: number): void {
    this.#bits.write(Math.floor(value / 2 ** 32) >>> 0, 32);
    this.#bits.write(value >>> 0, 32);
  }

  #writeValue(high: number, low: number): void {
    if (high === 0 && low === 0) {
      this.#bits.write(0, 1);
      return;
    }
    // Five bits hold it.
    const leading = Math.min(31, high === 0 ? 32 + Math.clz32(low) : Math.clz32(high));
    const trailing = low === 0 ? 32 + trailingZeros(high) : trailingZeros(low);
    if (this.#leading !== 32 && leading >= this.#leading && trailing >= this.#trailing) {
      this.#bits.write(0b10, 2);
    } else {
      this.#leading = leading;
      this.#trailing = trailing;
      this.#bits.write(0b11, 2);
      this.#bits.write(leading, 5);
      // 1 to 64: 64 is written as 0.
      this.#bits.write((64 - leading - trailing) & 63, 6);
    }
    this.#writeMiddle(high, low, 64 - this.#leading - this.#trailing);
  }

  /** The bits between the zeros that are left out. */
  #writeMiddle(high: number, low: number, bits: number): void {
    const trailing = this.#trailing;
    if (trailing >= 32) {
      this.#bits.write(high >>> (trailing - 32), bits);
      return;
    }
    const lowBits = Math.min(bits, 32 - trailing);
    if (bits > lowBits) {
      this.#bits.write(high, bits - lowBits);
    }
    this.#bits.write(low >>> trailing, lowBits);
  }
}

/** Calls for each sample of a chunk up to a time, in order. */
export function readChunk(
  bytes: Uint8Array,
  samples: number,
  visit: (timeMs: number, value: number) => void,
  untilMs = Number.POSITIVE_INFINITY,
): void {
  if (samples === 0) return;
  const bits = new BitReader(bytes);
  let timeMs = readWide(bits);
  let deltaMs = 0;
  let high = bits.read(32);
  let low = bits.read(32);
  let leading = 0;
  let trailing = 0;
  if (timeMs > untilMs) return;
  visit(timeMs, toNumber(high, low));
  for (let i = 1; i < samples; i++) {
    deltaMs += readTimeChange(bits);
    timeMs += deltaMs;
    if (timeMs > untilMs) return;
    if (bits.read(1) === 1) {
      if (bits.read(1) === 1) {
        leading = bits.read(5);
        trailing = 64 - leading - (bits.read(6) || 64);
      }
      const middle = 64 - leading - trailing;
      if (trailing >= 32) {
        high ^= bits.read(middle) << (trailing - 32);
      } else {
        const lowBits = Math.min(middle, 32 - trailing);
        if (middle > lowBits) {
          high ^= bits.read(middle - lowBits);
        }
        low ^= bits.read(lowBits) << trailing;
      }
    }
    visit(timeMs, toNumber(high, low));
  }
}

/** By how much a difference changes: prefix, its length, and the length of the number. */
const timeCodes: readonly (readonly [number, number, number])[] = [
  [0b10, 2, 14],
  [0b110, 3, 17],
  [0b1110, 4, 20],
];

function readTimeChange(bits: BitReader): number {
  if (bits.read(1) === 0) return 0;
  for (const [, , length] of timeCodes) {
    if (bits.read(1) === 0) {
      const value = bits.read(length);
      return value >= 2 ** (length - 1) ? value - 2 ** length : value;
    }
  }
  return readWide(bits);
}

function readWide(bits: BitReader): number {
  const high = bits.read(32) | 0;
  return high * 2 ** 32 + bits.read(32);
}

const view = new DataView(new ArrayBuffer(8));

// Reading is most of what rules cost, and several times as fast this way as by a view.
const number = new Float64Array(1);
const words = new Uint32Array(number.buffer);
const isLittleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
const [highWord, lowWord] = isLittleEndian ? [1, 0] : [0, 1];

function toNumber(high: number, low: number): number {
  words[highWord] = high;
  words[lowWord] = low;
  return number[0] as number;
}

function trailingZeros(word: number): number {
  return 31 - Math.clz32(word & -word);
}
