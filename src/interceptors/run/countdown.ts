import type { Clock, Timer } from "../../clock.ts";
import type { Pausable } from "../../runs/index.ts";

/** A timer that can stand still. */
export class Countdown implements Pausable {
  readonly #clock: Clock;
  readonly #totalMs: number;
  readonly #onOver: () => void;
  #leftMs: number;
  #sinceMs = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, totalMs: number, onOver: () => void) {
    this.#clock = clock;
    this.#totalMs = totalMs;
    this.#onOver = onOver;
    this.#leftMs = totalMs;
  }

  pause(): void {
    if (this.#timer !== undefined) {
      this.#timer.cancel();
      this.#timer = undefined;
      this.#leftMs -= this.#clock.monotonic() - this.#sinceMs;
    }
  }

  resume(): void {
    if (this.#timer === undefined && this.#totalMs !== Number.POSITIVE_INFINITY) {
      this.#sinceMs = this.#clock.monotonic();
      this.#timer = this.#clock.setTimeout(this.#onOver, this.#leftMs);
    }
  }

  /** Has all of its time again, whether it runs or stands. */
  restart(): void {
    this.#leftMs = this.#totalMs;
    if (this.#timer !== undefined) {
      this.#timer.cancel();
      this.#timer = undefined;
      this.resume();
    }
  }
}
