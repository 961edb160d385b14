import { setImmediate } from "node:timers";
import { BinaryHeap, type HeapItem } from "../binary-heap.ts";
import type { Clock, Timer } from "../clock.ts";

export interface VirtualClockOptions {
  /** Wall-clock time at the start, in ms since the epoch. Default: 2026-01-01T00:00:00Z. */
  readonly startMs?: number;
}

/**
 * A clock that stands still until it is moved. Timers fire in order of due time, then of creation, and what they set off
 * settles before the next one fires: promise jobs, and call-backs of `setImmediate`, in order. The latter run by
 * themselves too, since they need no time. Work that waits for real I/O is not waited for.
 *
 * Movements follow one another; each rejects with whatever a timer's call-back throws, and with an error when time cannot
 * move because call-backs set off each other without end.
 */
export interface VirtualClock extends Clock {
  /** Timers that have neither fired nor been cancelled, without those that never fire. */
  readonly pendingTimers: number;

  /** Lets that much time pass; 0 fires what is due and lets things settle. */
  advance(ms: number): Promise<void>;

  /** Lets time pass until the wall clock shows that time, in ms since the epoch. */
  advanceTo(ms: number): Promise<void>;

  /** Lets time pass until no timer is pending. Rejects when 100,000 have fired, since something then keeps setting them. */
  runUntilIdle(): Promise<void>;

  /** Sets the wall clock forward or back, as an administrator or a time server does: no time passes, no timer is due. */
  jump(ms: number): void;
}

export function createVirtualClock(options: VirtualClockOptions = {}): VirtualClock {
  return new SteppedClock(options.startMs ?? Date.UTC(2026, 0, 1));
}

/** Far above what a test needs, and reached in under a second. */
const endlessAfter = 100_000;

interface VirtualTimer extends HeapItem {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
}

class SteppedClock implements VirtualClock {
  readonly #timers = new BinaryHeap<VirtualTimer>((a, b) =>
    a.dueMs === b.dueMs ? a.order < b.order : a.dueMs < b.dueMs,
  );
  #timersMade = 0;
  #immediates = 0;
  #monotonicMs = 0;
  /** What the wall clock is ahead of the monotonic one. */
  #offsetMs: number;
  #movement: Promise<void> = Promise.resolve();

  constructor(startMs: number) {
    if (!Number.isFinite(startMs)) {
      throw new RangeError(`a virtual clock must start at a finite time, not at ${startMs}`);
    }
    this.#offsetMs = startMs;
  }

  now(): number {
    return this.#offsetMs + this.#monotonicMs;
  }

  monotonic(): number {
    return this.#monotonicMs;
  }

  setTimeout(callback: () => void, delayMs: number): Timer {
    if (delayMs === Number.POSITIVE_INFINITY) {
      return { cancel: () => {} };
    }
    const timer: VirtualTimer = {
      dueMs: this.#monotonicMs + (Number.isNaN(delayMs) ? 0 : Math.max(0, delayMs)),
      order: this.#timersMade++,
      callback,
      heapIndex: -1,
    };
    this.#timers.push(timer);
    return { cancel: () => this.#timers.remove(timer) };
  }

  setImmediate(callback: () => void): void {
    this.#immediates++;
    setImmediate(() => {
      this.#immediates--;
      callback();
    });
  }

  get pendingTimers(): number {
    return this.#timers.size;
  }

  async advance(ms: number): Promise<void> {
    if (!(ms >= 0 && ms < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`a clock advances by a finite number of milliseconds from 0 on, not by ${ms}`);
    }
    return this.#move(() => this.#advanceTo(this.#monotonicMs + ms));
  }

  async advanceTo(ms: number): Promise<void> {
    return this.#move(() => {
      const nowMs = this.now();
      if (!(ms >= nowMs && ms < Number.POSITIVE_INFINITY)) {
        throw new RangeError(`a clock at ${nowMs} ms cannot advance to ${ms} ms`);
      }
      return this.#advanceTo(this.#monotonicMs + (ms - nowMs));
    });
  }

  async runUntilIdle(): Promise<void> {
    return this.#move(async () => {
      await this.#settle();
      for (let fired = 0; this.#timers.size > 0; fired++) {
        if (fired === endlessAfter) {
          throw new Error(
            `${endlessAfter} timers have fired and ${this.#timers.size} are pending: something sets one again and again; stop it, or advance by a time instead`,
          );
        }
        await this.#fireFirst();
      }
    });
  }

  jump(ms: number): void {
    if (!Number.isFinite(ms)) {
      throw new RangeError(`a clock jumps by a finite number of milliseconds, not by ${ms}`);
    }
    this.#offsetMs += ms;
  }

  #move(movement: () => Promise<void>): Promise<void> {
    const moved = this.#movement.then(movement);
    this.#movement = moved.catch(() => {});
    return moved;
  }

  async #advanceTo(targetMs: number): Promise<void> {
    await this.#settle();
    let firedAt = this.#monotonicMs;
    let firedThen = 0;
    for (let first = this.#timers.peek(); first !== undefined && first.dueMs <= targetMs; first = this.#timers.peek()) {
      firedThen = first.dueMs > firedAt ? 0 : firedThen + 1;
      firedAt = first.dueMs;
      if (firedThen === endlessAfter) {
        throw new Error(
          `${endlessAfter} timers have fired at ${this.now()} ms and more are due: something sets one without a delay again and again`,
        );
      }
      await this.#fireFirst();
    }
    this.#monotonicMs = Math.max(this.#monotonicMs, targetMs);
  }

  async #fireFirst(): Promise<void> {
    const timer = this.#timers.pop();
    if (timer !== undefined) {
      this.#monotonicMs = Math.max(this.#monotonicMs, timer.dueMs);
      timer.callback();
    }
    await this.#settle();
  }

  /** Node empties its queues of promise jobs and ticks before each real immediate, and runs immediates in order. */
  async #settle(): Promise<void> {
    let rounds = 0;
    do {
      if (rounds++ === endlessAfter) {
        throw new Error("time cannot move: call-backs of setImmediate ask for another one again and again");
      }
      await new Promise<void>((resolve) => setImmediate(resolve));
    } while (this.#immediates > 0);
  }
}
