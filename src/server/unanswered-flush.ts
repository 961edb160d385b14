import type { Clock } from "../clock.ts";
import type { Journal } from "../runs/index.ts";

/**
 * For how long the journal has not answered: a disk that hangs says nothing, and commits that never end are in no
 * histogram. Each reading waits for all that was ordered before it, and tells how long that has taken if it goes on.
 */
export class UnansweredFlush {
  readonly #journal: Pick<Journal, "flush">;
  readonly #clock: Pick<Clock, "monotonic">;
  #askedMs: number | undefined;

  constructor(journal: Pick<Journal, "flush">, clock: Pick<Clock, "monotonic">) {
    this.#journal = journal;
    this.#clock = clock;
  }

  /** 0 while the journal answers: what is found out is younger than the commit by up to the time between two readings. */
  readMs(): number {
    const nowMs = this.#clock.monotonic();
    if (this.#askedMs !== undefined) return nowMs - this.#askedMs;
    this.#askedMs = nowMs;
    const answered = (): void => {
      this.#askedMs = undefined;
    };
    // One that is refused is answered, too.
    this.#journal.flush().then(answered, answered);
    return 0;
  }
}
