import type { Source } from "../transport/index.ts";

/** Smaller ones are not counted: none of them matters. */
const smallBytes = 16_384;

/** What the server holds for one request: what has come of it, then what waits to be read of its answer. */
export class HeldBytes {
  readonly #source: Source | undefined;
  #bytes = 0;

  constructor(source: Source | undefined) {
    this.#source = source;
  }

  /** Says how much it is now; false, and nothing held, when its source makes the server hold too much already. */
  set(bytes: number): boolean {
    const counted = bytes > smallBytes ? bytes : 0;
    const more = counted - this.#bytes;
    if (more > 0 && this.#source?.hold(more) === false) {
      this.set(0);
      return false;
    }
    if (more < 0) this.#source?.release(-more);
    this.#bytes = counted;
    return true;
  }
}
