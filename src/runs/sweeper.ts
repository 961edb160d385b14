import type { Clock, Timer } from "../clock.ts";

export interface SweeperOptions {
  readonly clock: Clock;
  /** From the end of one sweep to the beginning of the next. */
  readonly intervalMs: number;
  readonly sweep: () => Promise<unknown>;
  /** Told why a sweep has failed; the next one comes at its time. */
  readonly failed: (error: unknown) => void;
}

/** Sweeps again and again, one sweep at a time, until it is stopped. */
export class Sweeper {
  readonly #options: SweeperOptions;
  #timer: Timer | undefined;
  #sweeping: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: SweeperOptions) {
    this.#options = options;
  }

  /** For a sweep that takes long, so that it can end early. */
  get stopped(): boolean {
    return this.#stopped;
  }

  start(): void {
    if (this.#stopped) {
      return;
    }
    const { clock, intervalMs, sweep, failed } = this.#options;
    this.#timer = clock.setTimeout(() => {
      this.#sweeping = sweep()
        .then(() => undefined, failed)
        .then(() => this.start());
    }, intervalMs);
  }

  /** Resolves when no sweep is under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#sweeping;
  }
}
