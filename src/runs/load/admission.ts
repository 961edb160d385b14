/** What run_service.proto allows. */
const lowestPriority = -100;
/** Never refused. */
const highestPriority = 100;

/**
 * Takes or refuses new runs, those of the lowest priority first: as many as make up a share of what was offered in the
 * period before. The memory of a period is a counter for each priority.
 */
export class Admission {
  readonly #offered = new Uint32Array(highestPriority - lowestPriority + 1);
  /** What is below is refused … */
  #floor = lowestPriority;
  /** … and so much of what is just there, … */
  #floorShare = 0;
  /** … evenly: whenever this reaches 1. */
  #due = 0;

  /** Whether a run is taken. */
  admit(priority: number): boolean {
    const index = Math.min(highestPriority, Math.max(lowestPriority, priority)) - lowestPriority;
    this.#offered[index] = (this.#offered[index] ?? 0) + 1;
    if (priority > this.#floor) {
      return true;
    }
    if (priority < this.#floor) {
      return false;
    }
    this.#due += this.#floorShare;
    if (this.#due < 1) {
      return true;
    }
    this.#due -= 1;
    return false;
  }

  /** Begins the next period, in which this share is refused. Answers how many runs were offered in the last one. */
  next(share: number): number {
    const total = this.#offered.reduce((sum, count) => sum + count, 0);
    // Nothing is known of a period in which nobody came: what was right before still is.
    if (total > 0 || share === 0) {
      // All of it includes what nobody has offered yet.
      this.#refuse(share < 1 ? share * total : Number.POSITIVE_INFINITY);
      this.#offered.fill(0);
    }
    return total;
  }

  #refuse(count: number): void {
    let left = count;
    let priority = lowestPriority;
    for (; left > 0 && priority < highestPriority; priority++) {
      const offered = this.#offered[priority - lowestPriority] ?? 0;
      if (offered > left) {
        break;
      }
      left -= offered;
    }
    this.#floor = priority;
    // Nothing of the highest is refused, whatever is left.
    this.#floorShare =
      priority < highestPriority && left > 0 ? left / (this.#offered[priority - lowestPriority] ?? 0) : 0;
  }
}
