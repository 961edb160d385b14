import type { RandomSource } from "../../clock.ts";

/**
 * So many bytes at a time: to turn a few into text takes nearly as long as to turn them all. No more of them, since an id
 * that is held on to may hold the text of all.
 */
const drawnBytes = 1_024;

/** Ids of traces and spans, which each call needs, also where nobody keeps them. */
export class RandomIds {
  readonly #random: RandomSource;
  readonly #bytes = Buffer.alloc(drawnBytes);
  #digits = "";
  #next = 0;

  constructor(random: RandomSource) {
    this.#random = random;
  }

  traceId(): string {
    return this.#id(32);
  }

  spanId(): string {
    return this.#id(16);
  }

  #id(digits: number): string {
    let id: string;
    do {
      if (this.#next + digits > this.#digits.length) {
        this.#random.fill(this.#bytes);
        this.#digits = this.#bytes.toString("hex");
        this.#next = 0;
      }
      id = this.#digits.slice(this.#next, this.#next + digits);
      this.#next += digits;
      // Those that are nothing but zeroes are none.
    } while (id.startsWith("00000000") && /^0+$/.test(id));
    return id;
  }
}
