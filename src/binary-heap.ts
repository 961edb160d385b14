/** What lies in a heap knows its place, so that it can be taken out of the middle. */
export interface HeapItem {
  /** Kept by the heap: -1 while the item is in none. An item is in one heap at a time. */
  heapIndex: number;
}

/** A priority queue: the first item is at hand, adding and removing any one costs the logarithm of their number. */
export class BinaryHeap<T extends HeapItem> {
  readonly #items: T[] = [];
  readonly #goesBefore: (a: T, b: T) => boolean;

  /** Items for which `goesBefore` holds neither way come out in any order; that of an item inside must not change. */
  constructor(goesBefore: (a: T, b: T) => boolean) {
    this.#goesBefore = goesBefore;
  }

  get size(): number {
    return this.#items.length;
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  push(item: T): void {
    this.#items.push(item);
    this.#rise(item, this.#items.length - 1);
  }

  pop(): T | undefined {
    const first = this.#items[0];
    if (first !== undefined) {
      this.remove(first);
    }
    return first;
  }

  /** Takes an item out of this heap; one that is in no heap is left alone. */
  remove(item: T): void {
    const index = item.heapIndex;
    if (index === -1) {
      return;
    }
    item.heapIndex = -1;
    const last = this.#items.pop();
    if (last !== undefined && last !== item) {
      this.#sink(last, this.#rise(last, index));
    }
  }

  /** Puts the item at the index or nearer to the front, and answers where. */
  #rise(item: T, from: number): number {
    const items = this.#items;
    let index = from;
    while (index > 0) {
      const parentIndex = (index - 1) >>> 1;
      const parent = items[parentIndex];
      if (parent === undefined || !this.#goesBefore(item, parent)) {
        break;
      }
      items[index] = parent;
      parent.heapIndex = index;
      index = parentIndex;
    }
    items[index] = item;
    item.heapIndex = index;
    return index;
  }

  #sink(item: T, from: number): void {
    const items = this.#items;
    let index = from;
    for (;;) {
      const leftIndex = 2 * index + 1;
      const left = items[leftIndex];
      if (left === undefined) {
        break;
      }
      const right = items[leftIndex + 1];
      const rightFirst = right !== undefined && this.#goesBefore(right, left);
      const child = rightFirst ? right : left;
      if (!this.#goesBefore(child, item)) {
        break;
      }
      items[index] = child;
      child.heapIndex = index;
      index = rightFirst ? leftIndex + 1 : leftIndex;
    }
    items[index] = item;
    item.heapIndex = index;
  }
}
