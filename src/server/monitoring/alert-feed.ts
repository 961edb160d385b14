import { fingerprintOf } from "../../monitoring/alerts/index.ts";
import type { Alerts } from "../alerts.ts";

/** The ids of alerts that have changed, for one who follows them: put together while that one is busy. */
export class AlertFeed {
  readonly #off: () => void;
  readonly #signal: AbortSignal;
  #changed = new Set<string>();
  #wake: (() => void) | undefined;

  constructor({ engine }: Pick<Alerts, "engine">, signal: AbortSignal) {
    this.#signal = signal;
    this.#off = engine.onChanged((changes) => {
      for (const { rule, key } of changes) this.#changed.add(fingerprintOf(rule.name, key));
      this.#wake?.();
    });
  }

  /** Ends when the signal is aborted. */
  async *changes(): AsyncGenerator<ReadonlySet<string>> {
    const onAbort = (): void => this.#wake?.();
    this.#signal.addEventListener("abort", onAbort);
    try {
      while (!this.#signal.aborted) {
        if (this.#changed.size > 0) {
          const changed = this.#changed;
          this.#changed = new Set();
          yield changed;
          continue;
        }
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      this.#signal.removeEventListener("abort", onAbort);
    }
  }

  close(): void {
    this.#off();
  }
}
