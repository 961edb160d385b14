/** When those who fail are locked out, and for how long. */
export interface LockoutSettings {
  /** Failures until they are. */
  readonly threshold: number;
  /** They are forgotten this long after the last one, or after the end of the lock-out. */
  readonly windowMs: number;
  /** What follows the first failure; twice as long after each next one. */
  readonly initialDelayMs: number;
  readonly maxLockoutMs: number;
  /** Failures before the first that counts. Default: 0. */
  readonly free?: number;
}

/** What follows a failure. */
export type Consequence =
  | { readonly kind: "delayed"; readonly delayMs: number }
  /** `began` tells that it was this failure that brought it on; `refused`, what had been refused unseen until then. */
  | { readonly kind: "locked"; readonly forMs: number; readonly began: boolean; readonly refused: number };

export interface LockedName {
  readonly name: string;
  readonly failures: number;
  readonly forMs: number;
}

interface Count {
  failures: number;
  lastMs: number;
  lockedUntilMs: number;
  refused: number;
}

/** As many as are remembered, some 150 bytes each. Those whose last failure is the longest ago make room. */
const mostNames = 10_000;

/** Beyond this the number itself would overflow; the longest lock-out is reached long before. */
const mostDoublings = 40;

/** Counts failures by a name. Times are monotonic, so that nobody is let out by a clock that is set. */
export class FailureCounts {
  readonly #settings: LockoutSettings;
  readonly #counts = new Map<string, Count>();

  constructor(settings: LockoutSettings) {
    this.#settings = settings;
  }

  get size(): number {
    return this.#counts.size;
  }

  /** Those that are locked out, each for how long yet, those for the longest first. */
  locked(nowMs: number): LockedName[] {
    return Array.from(this.#counts)
      .filter(([, { lockedUntilMs }]) => lockedUntilMs > nowMs)
      .map(([name, { failures, lockedUntilMs }]) => ({ name, failures, forMs: lockedUntilMs - nowMs }))
      .sort((a, b) => b.forMs - a.forMs);
  }

  /** Locks one out again that an earlier process had locked out. */
  restore({ name, failures, forMs }: LockedName, nowMs: number): void {
    const lockedUntilMs = nowMs + Math.min(forMs, this.#settings.maxLockoutMs);
    this.#counts.set(name, { failures, lastMs: nowMs, lockedUntilMs, refused: 0 });
  }

  /** How long it is locked out yet; 0 where it is not. */
  lockedForMs(name: string, nowMs: number): number {
    return Math.max(0, (this.#counts.get(name)?.lockedUntilMs ?? 0) - nowMs);
  }

  /** A failure while it is locked out does not count: the time that was told is the time that holds. */
  fail(name: string, nowMs: number): Consequence {
    const { threshold, initialDelayMs, maxLockoutMs, free = 0 } = this.#settings;
    const count = this.#countOf(name, nowMs);
    if (count.lockedUntilMs > nowMs) {
      count.refused++;
      return { kind: "locked", forMs: count.lockedUntilMs - nowMs, began: false, refused: count.refused };
    }
    count.failures++;
    count.lastMs = nowMs;
    const counted = count.failures - free;
    if (counted <= 0) return { kind: "delayed", delayMs: 0 };
    const delayMs = Math.min(maxLockoutMs, initialDelayMs * 2 ** Math.min(counted - 1, mostDoublings));
    if (counted < threshold) return { kind: "delayed", delayMs };
    const { refused } = count;
    count.lockedUntilMs = nowMs + delayMs;
    count.refused = 0;
    return { kind: "locked", forMs: delayMs, began: true, refused };
  }

  /** The count of a name, as the newest of them. */
  #countOf(name: string, nowMs: number): Count {
    const known = this.#counts.get(name);
    this.#counts.delete(name);
    const over = known === undefined || nowMs - Math.max(known.lastMs, known.lockedUntilMs) > this.#settings.windowMs;
    const count = over ? { failures: 0, lastMs: nowMs, lockedUntilMs: 0, refused: 0 } : known;
    this.#counts.set(name, count);
    if (this.#counts.size > mostNames) {
      for (const oldest of this.#counts.keys()) {
        this.#counts.delete(oldest);
        break;
      }
    }
    return count;
  }
}
