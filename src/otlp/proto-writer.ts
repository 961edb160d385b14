const initialBytes = 4 * 1024;
/** Up to here a loop is quicker than to ask somebody who is quick with long texts, or with many bytes. */
const shortText = 40;

/** Writes protobuf field by field, for messages of which a busy server makes thousands a second. */
export class ProtoWriter {
  #buffer: Buffer;
  #end = 0;

  constructor(bytes = initialBytes) {
    this.#buffer = Buffer.allocUnsafeSlow(bytes);
  }

  /** How many bytes there are by now. */
  get length(): number {
    return this.#end;
  }

  /** All of them, as what nobody else writes to: the writer is done with. */
  take(): Buffer<ArrayBuffer> {
    return this.#buffer.subarray(0, this.#end) as Buffer<ArrayBuffer>;
  }

  varint(field: number, value: number): void {
    this.#reserve(20);
    this.#varint(field << 3);
    this.#signed(value);
  }

  double(field: number, value: number): void {
    this.#reserve(18);
    this.#varint((field << 3) | 1);
    this.#end = this.#buffer.writeDoubleLE(value, this.#end);
  }

  fixed32(field: number, value: number): void {
    this.#reserve(14);
    this.#varint((field << 3) | 5);
    this.#end = this.#buffer.writeUInt32LE(value, this.#end);
  }

  fixed64(field: number, value: bigint): void {
    this.#reserve(18);
    this.#varint((field << 3) | 1);
    this.#end = this.#buffer.writeBigUInt64LE(value, this.#end);
  }

  /** Numbers of 64 bits that are not negative, as one field. */
  fixed64s(field: number, values: readonly number[]): void {
    this.message(field, values.length * 8);
    this.#reserve(values.length * 8);
    for (const value of values) {
      this.#end = this.#buffer.writeUInt32LE(value % 2 ** 32, this.#end);
      this.#end = this.#buffer.writeUInt32LE(Math.floor(value / 2 ** 32), this.#end);
    }
  }

  doubles(field: number, values: readonly number[]): void {
    this.message(field, values.length * 8);
    this.#reserve(values.length * 8);
    for (const value of values) this.#end = this.#buffer.writeDoubleLE(value, this.#end);
  }

  text(field: number, text: string): void {
    const bytes = Buffer.byteLength(text);
    this.#reserve(bytes + 20);
    this.#varint((field << 3) | 2);
    this.#varint(bytes);
    if (bytes === text.length && bytes <= shortText) {
      for (let index = 0; index < bytes; index++) this.#buffer[this.#end++] = text.charCodeAt(index);
    } else {
      this.#end += this.#buffer.write(text, this.#end);
    }
  }

  /** Takes back what is behind so many bytes. */
  cut(length: number): void {
    this.#end = length;
  }

  /** What is written already: whole fields. */
  raw(bytes: Uint8Array): void {
    const { length } = bytes;
    this.#reserve(length);
    if (length <= shortText) {
      for (let index = 0; index < length; index++) this.#buffer[this.#end++] = bytes[index] as number;
    } else {
      this.#buffer.set(bytes, this.#end);
      this.#end += length;
    }
  }

  /** Bytes that are told in hex. */
  hex(field: number, hex: string): void {
    this.#reserve(hex.length + 20);
    this.#varint((field << 3) | 2);
    this.#varint(hex.length / 2);
    this.#end += this.#buffer.write(hex, this.#end, "hex");
  }

  /** Begins a message whose length is known: that many bytes follow. */
  message(field: number, length: number): void {
    this.#reserve(20);
    this.#varint((field << 3) | 2);
    this.#varint(length);
  }

  /**
   * Begins a message within this one.
   * @param lengthBytes what its length takes, most likely: it is moved where that turns out to be wrong
   * @returns what `finish` wants to have, beside those
   */
  start(field: number, lengthBytes = 1): number {
    this.#reserve(20);
    this.#varint((field << 3) | 2);
    this.#end += lengthBytes;
    return this.#end;
  }

  finish(start: number, lengthBytes = 1): void {
    const length = this.#end - start;
    const more = sizeOfVarint(length) - lengthBytes;
    if (more !== 0) {
      this.#reserve(Math.max(0, more));
      this.#buffer.copyWithin(start + more, start, this.#end);
    }
    this.#end = start - lengthBytes;
    this.#varint(length);
    this.#end += length;
  }

  #reserve(bytes: number): void {
    const most = this.#end + bytes;
    if (most <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, most));
    this.#buffer.copy(larger, 0, 0, this.#end);
    this.#buffer = larger;
  }

  #signed(value: number): void {
    if (value >= 0) {
      this.#varint(value);
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest > 0x7fn; rest >>= 7n) this.#buffer[this.#end++] = Number(rest & 0x7fn) | 0x80;
    this.#buffer[this.#end++] = Number(rest);
  }

  #varint(value: number): void {
    let rest = value;
    // Beyond 32 bits operators on bits would cut it off.
    for (; rest > 0x7fffffff; rest = Math.floor(rest / 128)) this.#buffer[this.#end++] = (rest % 128) | 0x80;
    for (; rest > 0x7f; rest >>>= 7) this.#buffer[this.#end++] = (rest & 0x7f) | 0x80;
    this.#buffer[this.#end++] = rest;
  }
}

export function sizeOfVarint(value: number): number {
  let size = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 128)) size++;
  return size;
}
