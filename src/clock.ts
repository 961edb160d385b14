import { randomFillSync } from "node:crypto";

/** A pending call-back. Cancelling one that has fired, or twice, does nothing. */
export interface Timer {
  cancel(): void;
}

/** The only source of time in `src/`: whole servers run on a virtual one in tests. */
export interface Clock {
  /** Wall-clock time in milliseconds since the Unix epoch. May jump. */
  now(): number;
  /** Milliseconds since an arbitrary origin, with fractions. Never goes back. */
  monotonic(): number;
  /** Calls back once, no earlier than `delayMs` from now. Any delay is accepted, `Infinity` never fires. */
  setTimeout(callback: () => void, delayMs: number): Timer;
  /** Calls back once the work that is due now has run: after pending I/O of this turn of the event loop. */
  setImmediate(callback: () => void): void;
}

/** The only source of randomness in `src/`. */
export interface RandomSource {
  /** A number in [0, 1). */
  next(): number;
  /** Fills the array with random bytes, in place. */
  fill(bytes: Uint8Array): void;
}

/** Node's timers fire at once above this delay (2^31 - 1 ms, 24.8 days), so longer ones are taken in legs. */
const longestTimerMs = 2 ** 31 - 1;

class SystemTimer implements Timer {
  readonly #callback: () => void;
  readonly #dueMs: number;
  #handle: NodeJS.Timeout | undefined;

  constructor(callback: () => void, delayMs: number) {
    this.#callback = callback;
    this.#dueMs = performance.now() + delayMs;
    if (delayMs !== Number.POSITIVE_INFINITY) {
      this.#arm(delayMs);
    }
  }

  #arm(remainingMs: number): void {
    // Node cuts fractions off.
    const legMs = Math.min(Math.max(1, Math.ceil(remainingMs)), longestTimerMs);
    this.#handle = setTimeout(() => this.#fire(), legMs);
  }

  #fire(): void {
    // Node counts in whole milliseconds, so its timers fire up to one too early; and a leg may not have been the last.
    const remainingMs = this.#dueMs - performance.now();
    if (remainingMs > 0) {
      this.#arm(remainingMs);
    } else {
      this.#callback();
    }
  }

  cancel(): void {
    clearTimeout(this.#handle);
  }
}

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout: (callback, delayMs) => new SystemTimer(callback, delayMs),
  setImmediate: (callback) => {
    setImmediate(callback);
  },
};

const pool = new Uint8Array(4096);
let poolOffset = pool.length;

/** The machine's random source. Bytes are cryptographically strong, and drawn from a pool because one call each is slow. */
export const systemRandom: RandomSource = {
  next: () => Math.random(),
  fill: (bytes) => {
    if (bytes.length > pool.length / 8) {
      randomFillSync(bytes);
      return;
    }
    if (poolOffset + bytes.length > pool.length) {
      randomFillSync(pool);
      poolOffset = 0;
    }
    bytes.set(pool.subarray(poolOffset, poolOffset + bytes.length));
    pool.fill(0, poolOffset, poolOffset + bytes.length);
    poolOffset += bytes.length;
  },
};
