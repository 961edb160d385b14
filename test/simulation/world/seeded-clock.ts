import { setImmediate } from "node:timers";
import { BinaryHeap, type HeapItem } from "../../../src/binary-heap.ts";
import type { Clock, RandomSource, Timer } from "../../../src/clock.ts";

/** Whose work a call-back is; the dead do none. */
export interface Life {
  readonly isAlive: boolean;
}

interface Work {
  readonly life: Life;
  readonly callback: () => void;
}

interface SeededTimer extends Work, HeapItem {
  readonly dueMs: number;
  readonly rank: number;
}

/** A timer fires that much late at most, as timers do. */
const latenessMs = 3;

/**
 * Virtual time in which chance decides what is open: which of the work that is ready goes first, and which of the timers
 * that are due. What one call-back sets off in promises settles before the next one. It moves by `step` only.
 */
export class SeededClock {
  readonly #random: RandomSource;
  readonly #ready: Work[] = [];
  readonly #timers = new BinaryHeap<SeededTimer>((a, b) => (a.dueMs === b.dueMs ? a.rank < b.rank : a.dueMs < b.dueMs));
  #monotonicMs = 0;
  /** What the wall clock is ahead of the monotonic one. */
  #offsetMs = Date.UTC(2026, 0, 1);

  constructor(random: RandomSource) {
    this.#random = random;
  }

  now(): number {
    return this.#offsetMs + this.#monotonicMs;
  }

  monotonic(): number {
    return this.#monotonicMs;
  }

  /** Sets the wall clock forward or back. */
  jump(byMs: number): void {
    this.#offsetMs += byMs;
  }

  /** The same clock for one life: what it has asked for is dropped when that is over. */
  of(life: Life): Clock {
    return {
      now: () => this.now(),
      monotonic: () => this.monotonic(),
      setTimeout: (callback, delayMs) => this.#setTimeout(life, callback, delayMs),
      setImmediate: (callback) => {
        this.#ready.push({ life, callback });
      },
    };
  }

  /** Does the next piece of work, and lets what it sets off settle. False when there is none, now or later. */
  async step(): Promise<boolean> {
    const work = this.#next();
    if (work === undefined) {
      return false;
    }
    work.callback();
    await settled();
    return true;
  }

  #setTimeout(life: Life, callback: () => void, delayMs: number): Timer {
    if (delayMs === Number.POSITIVE_INFINITY) {
      return { cancel: () => undefined };
    }
    const lateMs = this.#random.next() < 0.5 ? 0 : this.#random.next() * latenessMs;
    const dueMs = this.#monotonicMs + Math.max(0, delayMs || 0) + lateMs;
    const timer: SeededTimer = { life, callback, dueMs, rank: this.#random.next(), heapIndex: -1 };
    this.#timers.push(timer);
    return { cancel: () => this.#timers.remove(timer) };
  }

  #next(): Work | undefined {
    while (this.#ready.length > 0) {
      const index = Math.floor(this.#random.next() * this.#ready.length);
      const [work] = this.#ready.splice(index, 1);
      if (work?.life.isAlive === true) {
        return work;
      }
    }
    for (let timer = this.#timers.pop(); timer !== undefined; timer = this.#timers.pop()) {
      if (timer.life.isAlive) {
        this.#monotonicMs = Math.max(this.#monotonicMs, timer.dueMs);
        return timer;
      }
    }
    return undefined;
  }
}

/** Node empties its queues of promise jobs before each immediate. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
