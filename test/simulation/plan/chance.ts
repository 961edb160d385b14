import type { RandomSource } from "../../../src/clock.ts";

/** Decisions, drawn from a random source. */
export class Chance {
  readonly #random: RandomSource;

  constructor(random: RandomSource) {
    this.#random = random;
  }

  /** Whether something happens that has that probability. */
  happens(probability: number): boolean {
    return this.#random.next() < probability;
  }

  /** A whole number, both ends included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.#random.next() * (most - least + 1));
  }

  /** A whole number whose order of magnitude is drawn first, so that small ones are as likely as large ones. */
  around(least: number, most: number): number {
    return Math.round(least * (most / least) ** this.#random.next());
  }

  /** One of them. @throws RangeError when there is none */
  oneOf<T>(choices: readonly T[]): T {
    if (choices.length === 0) {
      throw new RangeError("there is nothing to choose from");
    }
    return choices[this.between(0, choices.length - 1)] as T;
  }

  /** What `draw` gives, that many times. */
  many<T>(count: number, draw: (index: number) => T): T[] {
    return Array.from({ length: count }, (_, index) => draw(index));
  }
}
