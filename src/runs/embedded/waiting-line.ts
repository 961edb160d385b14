/** What came at some time. */
export interface Ordered {
  /** When it came: unique, and higher the later. */
  readonly order: number;
}

/** Moving the rest of a line up for each one that leaves at the front would cost the length of the line. */
const fewestLeftToMoveUp = 32;

/** Those who wait, first come, first served. Leaving at the front and joining at the end cost nothing, asking for a place little. */
export class WaitingLine<T extends Ordered> {
  readonly #items: T[] = [];
  /** Those before have left. */
  #head = 0;

  get size(): number {
    return this.#items.length - this.#head;
  }

  get first(): T | undefined {
    return this.#items[this.#head];
  }

  add(item: T): void {
    const last = this.#items.at(-1);
    if (last !== undefined && last.order < item.order) {
      this.#items.push(item);
    } else {
      this.#items.splice(this.#placeOf(item), 0, item);
    }
  }

  /** Takes out one that is in the line. */
  remove(item: T): void {
    const place = this.#placeOf(item);
    if (place > this.#head) {
      this.#items.splice(place, 1);
      return;
    }
    this.#head++;
    if (this.#head >= fewestLeftToMoveUp && this.#head * 2 >= this.#items.length) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
  }

  /** How many came before an item, which need not be in the line. */
  countBefore(item: Ordered): number {
    return this.#placeOf(item) - this.#head;
  }

  #placeOf(item: Ordered): number {
    let low = this.#head;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#items[middle];
      if (other !== undefined && other.order < item.order) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}
