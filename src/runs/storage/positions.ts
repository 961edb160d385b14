/**
 * Positions that each millisecond offers. A position is the time of acceptance with ten more bits, so that an order of
 * positions is one of time, a filter by time is a range of them, and integers that JavaScript counts exactly last until
 * the year 2248.
 */
const perMs = 1024;

/** The first position of a millisecond since the epoch. */
export function positionAt(timeMs: number): number {
  return Math.min(Math.max(0, Math.floor(timeMs)) * perMs, Number.MAX_SAFE_INTEGER);
}

/** The millisecond since the epoch that a position belongs to. */
export function timeAt(position: number): number {
  return Math.floor(position / perMs);
}

/**
 * Gives each accepted run its place in the order of acceptance. More than 1,024 runs in one millisecond run over into the
 * next one; when the clock goes back, new runs go between the old ones.
 */
export class Positions {
  readonly #largestTaken: (from: number, before: number) => number | undefined;
  #newest: number;
  #lastMs = Number.NaN;
  #last = -1;

  /**
   * @param newest the largest position that is taken, -1 for none
   * @param largestTaken the largest one that is taken in a range
   */
  constructor(newest: number, largestTaken: (from: number, before: number) => number | undefined) {
    this.#newest = newest;
    this.#largestTaken = largestTaken;
  }

  next(timeMs: number): number {
    const first = positionAt(timeMs);
    let position: number;
    if (first > this.#newest) {
      position = first;
    } else if (timeMs === this.#lastMs && this.#last === this.#newest) {
      position = this.#newest + 1;
    } else {
      position = this.#free(first);
    }
    this.#lastMs = timeMs;
    this.#last = position;
    this.#newest = Math.max(this.#newest, position);
    return position;
  }

  #free(first: number): number {
    for (let from = first; ; from += perMs) {
      const largest = this.#largestTaken(from, from + perMs);
      if (largest === undefined) {
        return from;
      }
      if (largest + 1 < from + perMs) {
        return largest + 1;
      }
    }
  }
}
