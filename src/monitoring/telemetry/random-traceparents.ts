import type { RandomSource } from "../../clock.ts";

/**
 * So many at a time, as one text: to put one together of its parts takes several times what it takes to cut it out. No more
 * of them, since one that is held on to may hold the text of all.
 */
const drawn = 32;
/** A draw costs the same for a thousand bytes as for ten thousand. */
const drawnTexts = 16;
const traceIdBytes = 16;
const idBytes = traceIdBytes + 8;
const digits = 2 * idBytes;
const length = 55;

/** A W3C `traceparent` for each call that comes without one, also where nobody keeps its trace: that is what they say. */
export class RandomTraceparents {
  readonly #random: RandomSource;
  readonly #bytes = Buffer.alloc(drawn * drawnTexts * idBytes);
  #nextByte = this.#bytes.length;
  #text = "";
  #next = 0;

  constructor(random: RandomSource) {
    this.#random = random;
  }

  next(): string {
    if (this.#next >= this.#text.length) this.#draw();
    const traceparent = this.#text.slice(this.#next, this.#next + length);
    this.#next += length;
    return traceparent;
  }

  #draw(): void {
    if (this.#nextByte >= this.#bytes.length) {
      this.#random.fill(this.#bytes);
      this.#nextByte = 0;
      // Ids that are nothing but zeroes are none.
      for (let at = 0; at < this.#bytes.length; at += idBytes) {
        this.#bytes[at] ||= 1;
        this.#bytes[at + traceIdBytes] ||= 1;
      }
    }
    const end = this.#nextByte + drawn * idBytes;
    const hex = this.#bytes.toString("hex", this.#nextByte, end);
    this.#nextByte = end;
    const all: string[] = [];
    for (let at = 0; at < hex.length; at += digits) {
      all.push(`00-${hex.slice(at, at + 32)}-${hex.slice(at + 32, at + digits)}-00`);
    }
    this.#text = all.join("");
    this.#next = 0;
  }
}
