import { randomFillSync } from "node:crypto";
import { BinaryHeap, type HeapItem } from "./binary-heap.ts";

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

class SystemTimer implements Timer, HeapItem {
  readonly callback: () => void;
  readonly dueMs: number;
  readonly order: number;
  heapIndex = -1;

  constructor(callback: () => void, dueMs: number, order: number) {
    this.callback = callback;
    this.dueMs = dueMs;
    this.order = order;
  }

  cancel(): void {
    systemTimers.remove(this);
  }
}

/**
 * All timers, behind the one of Node that is for the first of them: every run sets some, and hardly any ever fires. Like
 * Node's own they keep the process alive.
 */
class SystemTimers {
  readonly #timers = new BinaryHeap<SystemTimer>((a, b) =>
    a.dueMs === b.dueMs ? a.order < b.order : a.dueMs < b.dueMs,
  );
  #made = 0;
  #handle: NodeJS.Timeout | undefined;
  /** When the handle fires, by the monotonic clock; it may be sooner than the first timer is due. */
  #armedMs = Number.POSITIVE_INFINITY;

  add(callback: () => void, delayMs: number): Timer {
    const nowMs = performance.now();
    const timer = new SystemTimer(callback, nowMs + Math.max(0, delayMs || 0), this.#made++);
    if (timer.dueMs !== Number.POSITIVE_INFINITY) {
      this.#timers.push(timer);
      this.#arm(timer.dueMs, nowMs);
    }
    return timer;
  }

  remove(timer: SystemTimer): void {
    this.#timers.remove(timer);
    if (this.#timers.size === 0 && this.#handle !== undefined) {
      clearTimeout(this.#handle);
      this.#handle = undefined;
      this.#armedMs = Number.POSITIVE_INFINITY;
    }
  }

  #arm(dueMs: number, nowMs: number): void {
    if (dueMs < this.#armedMs) {
      clearTimeout(this.#handle);
      // Node cuts fractions off.
      const legMs = Math.min(Math.max(1, Math.ceil(dueMs - nowMs)), longestTimerMs);
      this.#handle = setTimeout(() => this.#fire(), legMs);
      this.#armedMs = dueMs;
    }
  }

  #fire(): void {
    this.#handle = undefined;
    this.#armedMs = Number.POSITIVE_INFINITY;
    // Node counts in whole milliseconds, so its timers fire up to one too early; and a leg may not have been the last.
    const nowMs = performance.now();
    const made = this.#made;
    try {
      let first = this.#timers.peek();
      // Not those that are set meanwhile: they come after what else the event loop has to do.
      while (first !== undefined && first.dueMs <= nowMs && first.order < made) {
        this.#timers.remove(first);
        first.callback();
        first = this.#timers.peek();
      }
    } finally {
      const next = this.#timers.peek();
      if (next !== undefined) {
        // Later than before: call-backs take time.
        this.#arm(next.dueMs, performance.now());
      }
    }
  }
}

const systemTimers = new SystemTimers();

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout: (callback, delayMs) => systemTimers.add(callback, delayMs),
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
