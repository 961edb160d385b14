import { Buffer } from "node:buffer";
import type { RandomSource } from "../../clock.ts";

/** A draw costs the same for a thousand bytes as for ten thousand. */
const drawn = 512;
const traceIdBytes = 16;
const idBytes = traceIdBytes + 8;
const traceIdAt = 3;
const spanIdAt = 36;
const digits = Buffer.from("0123456789abcdef");

/**
 * A W3C `traceparent` for each call that comes without one, also where nobody keeps its trace: that is what they say. Each is a
 * text of its own: one that was cut out of a larger text takes ten times as long to read.
 */
export class RandomTraceparents {
  readonly #random: RandomSource;
  readonly #bytes = Buffer.alloc(drawn * idBytes);
  readonly #text = Buffer.from(`00-${"0".repeat(32)}-${"0".repeat(16)}-00`);
  #next = this.#bytes.length;

  constructor(random: RandomSource) {
    this.#random = random;
  }

  next(): string {
    if (this.#next >= this.#bytes.length) this.#draw();
    this.#write(traceIdAt, traceIdBytes);
    this.#write(spanIdAt, idBytes - traceIdBytes);
    return this.#text.toString("latin1");
  }

  #draw(): void {
    this.#random.fill(this.#bytes);
    this.#next = 0;
  }

  #write(at: number, count: number): void {
    const bytes = this.#bytes;
    const text = this.#text;
    // An id that is nothing but zeroes is none.
    bytes[this.#next] ||= 1;
    let to = at;
    for (const end = this.#next + count; this.#next < end; this.#next++) {
      const byte = bytes[this.#next] ?? 0;
      text[to++] = digits[byte >> 4] ?? 0;
      text[to++] = digits[byte & 15] ?? 0;
    }
  }
}
