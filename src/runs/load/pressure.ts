/** A signal is out of trouble again at this share of its threshold, so that one that sways about it changes nothing. */
const calm = 0.8;
/** In percent, for each reading at the threshold; twice as much at twice the threshold … */
const rise = 10;
/** … but no more than this: one bad reading may be chance. */
const steepestRise = 30;
/** One reading in trouble is a burst, or a long pause of the garbage collector; so many in a row are trouble. */
const readingsInTrouble = 2;
/** Slower than the rise: whoever was refused comes back, and all at once would be the next trouble. */
const fall = 5;

/** The share of new runs that has to be refused: it grows as long as there is trouble, and shrinks when there is none. */
export class Pressure {
  #percent = 0;
  #inTrouble = 0;

  /** From 0 to 1. */
  get share(): number {
    return this.#percent / 100;
  }

  /** @param trouble the worst of the signals, as a multiple of its threshold */
  update(trouble: number): void {
    this.#inTrouble = trouble >= 1 ? this.#inTrouble + 1 : 0;
    if (trouble >= 1) {
      if (this.#percent === 0 && this.#inTrouble < readingsInTrouble) {
        return;
      }
      this.#percent = Math.min(100, this.#percent + Math.min(steepestRise, Math.round(rise * trouble)));
    } else if (trouble < calm) {
      this.#percent = Math.max(0, this.#percent - fall);
    }
  }
}
