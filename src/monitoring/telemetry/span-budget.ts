import type { Clock } from "../../clock.ts";

export interface SpanBudgetOptions {
  readonly clock: Pick<Clock, "monotonic">;
  readonly perSecond: number;
  /** So many may be made at once after a quiet time. */
  readonly burst: number;
}

/**
 * How many spans may be made: each costs a tenth of what an empty run does, and a server that is busy makes several a run.
 * Whole traces are left out, never parts of one: those that have begun may go beyond.
 */
export class SpanBudget {
  readonly #options: SpanBudgetOptions;
  #left: number;
  #countedMs: number;

  constructor(options: SpanBudgetOptions) {
    this.#options = options;
    this.#left = options.burst;
    this.#countedMs = options.clock.monotonic();
  }

  /**
   * Whether another trace may begin.
   * @param nowMs by the monotonic clock
   */
  allows(nowMs: number): boolean {
    const { perSecond, burst } = this.#options;
    this.#left = Math.min(burst, this.#left + ((nowMs - this.#countedMs) * perSecond) / 1000);
    this.#countedMs = nowMs;
    return this.#left >= 1;
  }

  /** A span has been made. However many of traces that have begun come at once, others begin again after a while. */
  spend(): void {
    this.#left = Math.max(-this.#options.burst, this.#left - 1);
  }
}
