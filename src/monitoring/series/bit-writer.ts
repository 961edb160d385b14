/** Bits in a row, the most significant first, in a buffer that grows. */
export class BitWriter {
  #bytes = new Uint8Array(32);
  #bits = 0;

  /** Appends the lowest bits of a value, at most 32. */
  write(value: number, bits: number): void {
    this.#reserve(bits);
    let left = bits;
    while (left > 0) {
      const free = 8 - (this.#bits & 7);
      const taken = Math.min(free, left);
      const part = (value >>> (left - taken)) & (0xff >>> (8 - taken));
      const index = this.#bits >>> 3;
      this.#bytes[index] = (this.#bytes[index] ?? 0) | (part << (free - taken));
      this.#bits += taken;
      left -= taken;
    }
  }

  /** What was written; the last byte is filled up with zeros. Good until the next write. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, (this.#bits + 7) >>> 3);
  }

  #reserve(bits: number): void {
    const needed = (this.#bits + bits + 7) >>> 3;
    if (needed > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
  }
}
