import { BinaryHeap, type HeapItem } from "../../binary-heap.ts";
import type { Clock, Timer } from "../../clock.ts";
import type { Scheduler } from "../ports/scheduler.ts";

export interface EmbeddedSchedulerOptions {
  readonly clock: Clock;
}

/** A scheduler for the runs of this process, in memory: at the next start, wishes are made anew from the journal. */
export function createEmbeddedScheduler(options: EmbeddedSchedulerOptions): Scheduler {
  return new EmbeddedScheduler(options.clock);
}

/** Turns handed out between two looks at I/O: they share a group commit, and end within a few milliseconds. */
const turnsPerTick = 64;

/** Wishes sorted between two looks at I/O, when very many become due at once: under a millisecond. */
const wishesPerTick = 1024;

/** Timers run on the monotonic clock. A wall clock that jumps ahead is noticed after this time. */
const longestNapMs = 60_000;

/** There is one for each run that wants a turn, possibly very many: small, and in one heap or the other. */
interface Wish extends HeapItem {
  readonly runId: string;
  /** `alreadyDue` from when it lies among the due ones: no later wish is sooner than that. */
  dueMs: number;
  priority: number;
  order: number;
}

const alreadyDue = Number.NEGATIVE_INFINITY;

class EmbeddedScheduler implements Scheduler {
  readonly #clock: Clock;
  readonly #wishes = new Map<string, Wish>();
  readonly #later = new BinaryHeap<Wish>((a, b) => a.dueMs < b.dueMs);
  readonly #due = new BinaryHeap<Wish>((a, b) =>
    a.priority === b.priority ? a.order < b.order : a.priority > b.priority,
  );
  #wishesMade = 0;
  #started = false;
  #turn: ((runId: string) => Promise<void>) | undefined;
  #turnsUnderWay = 0;
  #tickIsDue = false;
  #timer: Timer | undefined;
  /** The wish that the timer is for. */
  #timerDueMs = Number.POSITIVE_INFINITY;
  #stopped: Promise<void> | undefined;
  #allTurnsEnded: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  wake(runId: string, notBeforeMs: number, priority?: number): void {
    if (Number.isNaN(notBeforeMs)) {
      throw new RangeError(`run ${runId} cannot be woken at a time that is not a number`);
    }
    if (notBeforeMs === Number.POSITIVE_INFINITY) {
      return;
    }
    let wish = this.#wishes.get(runId);
    if (wish === undefined) {
      wish = { runId, dueMs: notBeforeMs, priority: priority ?? 0, order: this.#wishesMade++, heapIndex: -1 };
      this.#wishes.set(runId, wish);
    } else if (notBeforeMs < wish.dueMs) {
      this.#later.remove(wish);
      wish.dueMs = notBeforeMs;
      wish.priority = priority ?? wish.priority;
      wish.order = this.#wishesMade++;
    } else {
      return;
    }
    if (notBeforeMs <= this.#clock.now()) {
      this.#makeDue(wish);
      this.#requestTick();
    } else {
      this.#later.push(wish);
      this.#setTimer();
    }
  }

  forget(runId: string): void {
    const wish = this.#wishes.get(runId);
    if (wish !== undefined) {
      this.#wishes.delete(runId);
      (wish.dueMs === alreadyDue ? this.#due : this.#later).remove(wish);
      this.#setTimer();
    }
  }

  start(turn: (runId: string) => Promise<void>): void {
    if (this.#started) {
      throw new Error("a scheduler starts once: make a new one instead of starting this one again");
    }
    this.#started = true;
    this.#turn = turn;
    this.#requestTick();
    this.#setTimer();
  }

  stop(): Promise<void> {
    this.#started = true;
    this.#turn = undefined;
    this.#cancelTimer();
    this.#stopped ??= new Promise((resolve) => {
      this.#allTurnsEnded = resolve;
      this.#resolveStopped();
    });
    return this.#stopped;
  }

  #makeDue(wish: Wish): void {
    wish.dueMs = alreadyDue;
    this.#due.push(wish);
  }

  #requestTick(): void {
    if (!this.#tickIsDue && this.#turn !== undefined && this.#due.size > 0) {
      this.#tickIsDue = true;
      this.#clock.setImmediate(this.#tick);
    }
  }

  readonly #tick = (): void => {
    this.#tickIsDue = false;
    // Only when all that is due has been sorted is it known what goes first.
    if (this.#collectDue()) {
      this.#handOutTurns();
    }
    this.#requestTick();
  };

  /** Whether that was all. */
  #collectDue(): boolean {
    const nowMs = this.#clock.now();
    for (let collected = 0; collected < wishesPerTick; collected++) {
      const first = this.#later.peek();
      if (first === undefined || first.dueMs > nowMs) {
        return true;
      }
      this.#later.pop();
      this.#makeDue(first);
    }
    return false;
  }

  #handOutTurns(): void {
    for (let handedOut = 0; handedOut < turnsPerTick && this.#turn !== undefined; handedOut++) {
      const wish = this.#due.pop();
      if (wish === undefined) {
        return;
      }
      this.#wishes.delete(wish.runId);
      void this.#takeTurn(this.#turn, wish.runId);
    }
  }

  async #takeTurn(turn: (runId: string) => Promise<void>, runId: string): Promise<void> {
    this.#turnsUnderWay++;
    try {
      await turn(runId);
    } finally {
      this.#turnsUnderWay--;
      this.#resolveStopped();
    }
  }

  #resolveStopped(): void {
    if (this.#turnsUnderWay === 0) {
      this.#allTurnsEnded?.();
    }
  }

  /** One timer, for the first wish that is not due yet. */
  #setTimer(): void {
    const first = this.#later.peek();
    if (first === undefined || this.#turn === undefined) {
      this.#cancelTimer();
    } else if (first.dueMs < this.#timerDueMs) {
      this.#cancelTimer();
      this.#timerDueMs = first.dueMs;
      this.#timer = this.#clock.setTimeout(this.#wakeUp, Math.min(first.dueMs - this.#clock.now(), longestNapMs));
    }
  }

  #cancelTimer(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerDueMs = Number.POSITIVE_INFINITY;
  }

  readonly #wakeUp = (): void => {
    this.#cancelTimer();
    this.#collectDue();
    this.#requestTick();
    this.#setTimer();
  };
}
