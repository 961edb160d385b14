export interface LaneLimits {
  /** At once in all. */
  readonly concurrency: number;
  /** At once in one lane. */
  readonly perLane: number;
}

interface Lane<T> {
  readonly waiting: Set<T>;
  active: number;
  /** Whether what ended last in it has failed. */
  failing: boolean;
}

/**
 * Lets work go on at a bounded rate, in lanes that take turns: a lane that is slow takes no more than its share, and one
 * that fails no more than one place, until something succeeds in it.
 */
export class Lanes<T> {
  readonly #limits: LaneLimits;
  readonly #work: (item: T) => Promise<boolean>;
  readonly #lanes = new Map<string, Lane<T>>();
  #active = 0;
  #stopped = false;
  #onIdle: (() => void) | undefined;

  /** `work` tells whether it has succeeded, and never rejects. */
  constructor(limits: LaneLimits, work: (item: T) => Promise<boolean>) {
    this.#limits = limits;
    this.#work = work;
  }

  add(name: string, item: T): void {
    let lane = this.#lanes.get(name);
    if (lane === undefined) {
      lane = { waiting: new Set(), active: 0, failing: false };
      this.#lanes.set(name, lane);
    }
    lane.waiting.add(item);
    this.#go();
  }

  /** Begins nothing more; resolves when what has begun has ended. */
  stop(): Promise<void> {
    this.#stopped = true;
    return new Promise((resolve) => {
      this.#onIdle = resolve;
      this.#tellIdle();
    });
  }

  #go(): void {
    for (let began = true; began; ) {
      began = false;
      for (const [name, lane] of this.#lanes) {
        if (this.#stopped || this.#active >= this.#limits.concurrency) return;
        const [item] = lane.waiting;
        if (item === undefined || lane.active >= (lane.failing ? 1 : this.#limits.perLane)) continue;
        lane.waiting.delete(item);
        // Last in line for the next turn.
        this.#lanes.delete(name);
        this.#lanes.set(name, lane);
        void this.#run(name, lane, item);
        began = true;
        break;
      }
    }
  }

  async #run(name: string, lane: Lane<T>, item: T): Promise<void> {
    lane.active++;
    this.#active++;
    lane.failing = !(await this.#work(item));
    lane.active--;
    this.#active--;
    if (lane.active === 0 && lane.waiting.size === 0) {
      this.#lanes.delete(name);
    }
    this.#go();
    this.#tellIdle();
  }

  #tellIdle(): void {
    if (this.#active === 0) {
      this.#onIdle?.();
    }
  }
}
