/** Reads what a `BitWriter` wrote. Past the end there are zeros. */
export class BitReader {
  readonly #bytes: Uint8Array;
  #bits = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The next bits, at most 32, as an unsigned number. */
  read(bits: number): number {
    let value = 0;
    let left = bits;
    while (left > 0) {
      const free = 8 - (this.#bits & 7);
      const taken = Math.min(free, left);
      const byte = this.#bytes[this.#bits >>> 3] ?? 0;
      value = (value << taken) | ((byte >>> (free - taken)) & (0xff >>> (8 - taken)));
      this.#bits += taken;
      left -= taken;
    }
    return value >>> 0;
  }
}
