import type { Clock } from "../clock.ts";

/** A run with events that nobody waits for yet. */
interface LateRun {
  commitLate(): void;
}

/** Commits at the end of this turn of the event loop what no other commit has taken along by then. */
export class LateCommits {
  readonly #clock: Pick<Clock, "setImmediate">;
  #runs: LateRun[] = [];

  constructor(clock: Pick<Clock, "setImmediate">) {
    this.#clock = clock;
  }

  add(run: LateRun): void {
    this.#runs.push(run);
    if (this.#runs.length === 1) {
      this.#clock.setImmediate(() => {
        const runs = this.#runs;
        this.#runs = [];
        for (const one of runs) {
          one.commitLate();
        }
      });
    }
  }
}
