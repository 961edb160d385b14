import type { Clock } from "../../clock.ts";
import type { Journal } from "../ports/journal.ts";

/** How long the journal takes to make something durable, asked for now and then so that no append has to be timed. */
export class CommitDelay {
  readonly #journal: Pick<Journal, "flush">;
  readonly #clock: Pick<Clock, "monotonic">;
  #askedMs: number | undefined;
  #lastMs = 0;

  constructor(journal: Pick<Journal, "flush">, clock: Pick<Clock, "monotonic">) {
    this.#journal = journal;
    this.#clock = clock;
  }

  /** The last one known, or so much of the present one as has passed, and asks anew. */
  read(): number {
    const nowMs = this.#clock.monotonic();
    if (this.#askedMs !== undefined) {
      return Math.max(this.#lastMs, nowMs - this.#askedMs);
    }
    this.#askedMs = nowMs;
    const answered = (): void => {
      this.#lastMs = this.#clock.monotonic() - nowMs;
      this.#askedMs = undefined;
    };
    // It fails only once it is closed.
    this.#journal.flush().then(answered, answered);
    return this.#lastMs;
  }
}
