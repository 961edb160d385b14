export interface CounterOptions {
  /** Calls in a window, evenly spread. */
  readonly limit: number;
  readonly windowMs: number;
  /** Calls at once after a time without any. */
  readonly burst: number;
  /** Counts kept at once. Default: 100,000, some 20 MB. */
  readonly maxKeys?: number;
}

/** Adding up fractions of milliseconds must not refuse a caller who came back exactly when told to. */
const roundingMs = 0.001;

/** Stands for all keys that there is no room for. */
const others = "";

/**
 * Counts calls by key, by the generic cell rate algorithm: of each key it keeps when its next call would be due if all so
 * far had come evenly spread. In any time, a key gets at most `burst` calls more than that time is worth.
 *
 * Of our own and not rate-limiter-flexible (tried at 11.4), whose windows have fixed ends: 199 calls of a limit of 100 pass
 * within 300 ms there, its windows go by the wall clock, are 1 ms where they are longer than 24.8 days, and cost each source
 * a timer and 400 bytes without a bound; a union of limits counts what one of them refuses in the others.
 */
export class Counter {
  readonly #intervalMs: number;
  readonly #slackMs: number;
  readonly #maxKeys: number;
  /** In the order of the last call, so that those that have recovered are found at the front. */
  readonly #due = new Map<string, number>();

  constructor({ limit, windowMs, burst, maxKeys = 100_000 }: CounterOptions) {
    this.#intervalMs = windowMs / limit;
    this.#slackMs = (burst - 1) * this.#intervalMs + Math.min(roundingMs, this.#intervalMs / 1000);
    this.#maxKeys = maxKeys;
  }

  /** The number of keys that are kept. */
  get size(): number {
    return this.#due.size;
  }

  /** How long the key's next call has to wait; 0 when it may come now. */
  waitMs(key: string, nowMs: number): number {
    const due = this.#due.get(this.#keyOf(key, nowMs));
    return due === undefined ? 0 : Math.max(0, due - nowMs - this.#slackMs);
  }

  /** Counts a call. */
  count(key: string, nowMs: number): void {
    const kept = this.#keyOf(key, nowMs);
    const due = this.#due.get(kept);
    if (due !== undefined) this.#due.delete(kept);
    this.#due.set(kept, Math.max(due ?? nowMs, nowMs) + this.#intervalMs);
  }

  /** Itself, where it is kept or can be; for each new one, up to two make room that say nothing any more. */
  #keyOf(key: string, nowMs: number): string {
    if (this.#due.has(key)) return key;
    let looked = 0;
    for (const [old, due] of this.#due) {
      if (due > nowMs || looked++ === 2) break;
      this.#due.delete(old);
    }
    return this.#due.size < this.#maxKeys ? key : others;
  }
}
