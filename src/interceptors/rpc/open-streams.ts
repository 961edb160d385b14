import type { Clock, Timer } from "../../clock.ts";

/** For so long a stream may go on whose caller has lost the right to it, and on which nothing happens meanwhile. */
const checkMs = 1_000;

export interface OpenStream {
  /** Ends it if it may not go on. */
  readonly check: () => void;
}

/** Streams by credentials that can end: nothing tells when one expires, so all of them are looked at together. */
export class OpenStreams {
  readonly #clock: Clock;
  readonly #streams = new Set<OpenStream>();
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(stream: OpenStream): void {
    this.#streams.add(stream);
    this.#timer ??= this.#clock.setTimeout(() => this.#check(), checkMs);
  }

  delete(stream: OpenStream): void {
    this.#streams.delete(stream);
    if (this.#streams.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #check(): void {
    this.#timer = this.#clock.setTimeout(() => this.#check(), checkMs);
    for (const stream of this.#streams) stream.check();
  }
}
