/** Moving the items of a block costs less than comparing a few; a hundred thousand items are some four hundred blocks. */
const mostInBlock = 512;

/**
 * Items in order, of which any can be added, taken out and asked for its place: at the cost of a look at every block of
 * some hundred items at most, and of little memory.
 */
export class SortedList<T> {
  readonly #goesBefore: (a: T, b: T) => boolean;
  /** None is empty. */
  readonly #blocks: T[][] = [];
  #size = 0;

  /** Of two items one goes before the other, and that does not change while they are here. */
  constructor(goesBefore: (a: T, b: T) => boolean) {
    this.#goesBefore = goesBefore;
  }

  get size(): number {
    return this.#size;
  }

  get first(): T | undefined {
    return this.#blocks[0]?.[0];
  }

  add(item: T): void {
    this.#size++;
    const [index, block] = this.#blockOf(item);
    if (block === undefined) {
      this.#blocks.push([item]);
      return;
    }
    block.splice(this.#placeIn(block, item), 0, item);
    if (block.length > mostInBlock) {
      this.#blocks.splice(index + 1, 0, block.splice(block.length >>> 1));
    }
  }

  /** Takes out an item; whether it was there. */
  remove(item: T): boolean {
    const [index, block] = this.#blockOf(item);
    const place = block === undefined ? 0 : this.#placeIn(block, item);
    if (block?.[place] !== item) {
      return false;
    }
    this.#size--;
    block.splice(place, 1);
    const next = this.#blocks[index + 1];
    if (block.length === 0) {
      this.#blocks.splice(index, 1);
    } else if (next !== undefined && block.length + next.length <= mostInBlock >>> 1) {
      block.push(...next);
      this.#blocks.splice(index + 1, 1);
    }
    return true;
  }

  clear(): void {
    this.#blocks.length = 0;
    this.#size = 0;
  }

  /** How many go before an item, which need not be here. */
  countBefore(item: T): number {
    const [index, block] = this.#blockOf(item);
    let count = block === undefined ? 0 : this.#placeIn(block, item);
    for (let before = 0; before < index; before++) {
      count += this.#blocks[before]?.length ?? 0;
    }
    return count;
  }

  /** All of them, in order. */
  *[Symbol.iterator](): IterableIterator<T> {
    for (const block of this.#blocks) {
      yield* block;
    }
  }

  /** Where an item is, or belongs: the last block whose first item does not come after it, else the first. */
  #blockOf(item: T): readonly [index: number, block: T[] | undefined] {
    let low = 0;
    let high = this.#blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      const [first] = this.#blocks[middle] ?? [];
      if (first !== undefined && this.#goesBefore(item, first)) {
        high = middle - 1;
      } else {
        low = middle;
      }
    }
    return [low, this.#blocks[low]];
  }

  #placeIn(block: readonly T[], item: T): number {
    let low = 0;
    let high = block.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = block[middle];
      if (other !== undefined && this.#goesBefore(other, item)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}
