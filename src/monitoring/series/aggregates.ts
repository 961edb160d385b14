/** What is kept of the samples of one step; the order is that of the stored parts. */
export const aggregateNames = ["last", "count", "sum", "min", "max"] as const;

/** The samples of one step, summed up. Its time is the end of the step. */
export interface Aggregate {
  readonly timeMs: number;
  readonly last: number;
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
}

/** Sums up samples step by step: a step ends with the sample at its end, as PromQL's ranges do. */
export class Aggregates {
  readonly #stepMs: number;
  readonly #done: Aggregate[] = [];
  #timeMs = Number.NEGATIVE_INFINITY;
  #last = 0;
  #count = 0;
  #sum = 0;
  #min = 0;
  #max = 0;

  constructor(stepMs: number) {
    this.#stepMs = stepMs;
  }

  /** Times ascend. */
  add(timeMs: number, value: number): void {
    const endMs = Math.ceil(timeMs / this.#stepMs) * this.#stepMs;
    if (endMs !== this.#timeMs) {
      this.#close();
      this.#timeMs = endMs;
      this.#min = Number.POSITIVE_INFINITY;
      this.#max = Number.NEGATIVE_INFINITY;
    }
    this.#last = value;
    this.#count++;
    this.#sum += value;
    if (value < this.#min) this.#min = value;
    if (value > this.#max) this.#max = value;
  }

  /** All steps, the last one as far as it has come. */
  end(): readonly Aggregate[] {
    this.#close();
    return this.#done;
  }

  #close(): void {
    if (this.#count === 0) return;
    const { timeMs, last, count, sum, min, max } = {
      ...{ timeMs: this.#timeMs, last: this.#last, count: this.#count },
      ...{ sum: this.#sum, min: this.#min, max: this.#max },
    };
    this.#done.push({ timeMs, last, count, sum, min, max });
    this.#count = 0;
    this.#sum = 0;
  }
}
