import type { Clock, Timer } from "../clock.ts";

/** For so long those may go on watching who have lost the right to, and whose run tells nothing meanwhile. */
const checkMs = 1_000;

export interface OpenWatch {
  /** Whether the watcher may still watch. */
  readonly isAllowed: () => boolean;
  readonly end: () => void;
}

/** Watches by credentials that can end: nothing tells when one expires, so all of them are looked at together. */
export class OpenWatches {
  readonly #clock: Clock;
  readonly #watches = new Set<OpenWatch>();
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(watch: OpenWatch): void {
    this.#watches.add(watch);
    this.#timer ??= this.#clock.setTimeout(() => this.#check(), checkMs);
  }

  delete(watch: OpenWatch): void {
    this.#watches.delete(watch);
    if (this.#watches.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #check(): void {
    this.#timer = this.#clock.setTimeout(() => this.#check(), checkMs);
    for (const watch of this.#watches) {
      if (!watch.isAllowed()) watch.end();
    }
  }
}
