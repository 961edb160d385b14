import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BinaryHeap, type HeapItem } from "../src/binary-heap.ts";

interface Numbered extends HeapItem {
  readonly value: number;
}

function ascending(): BinaryHeap<Numbered> {
  return new BinaryHeap((a, b) => a.value < b.value);
}

function numbered(value: number): Numbered {
  return { value, heapIndex: -1 };
}

function drain(heap: BinaryHeap<Numbered>): number[] {
  const values: number[] = [];
  for (let item = heap.pop(); item !== undefined; item = heap.pop()) {
    values.push(item.value);
  }
  return values;
}

describe("BinaryHeap", () => {
  it("is empty at first", () => {
    const heap = ascending();

    expect(heap.size).toBe(0);
    expect(heap.peek()).toBeUndefined();
    expect(heap.pop()).toBeUndefined();
  });

  it("gives its items out in order, whatever goes in and is taken out of the middle", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ value: fc.integer({ min: 0, max: 50 }), removed: fc.boolean() }), {
          maxLength: 200,
          size: "max",
        }),
        (plan) => {
          const heap = ascending();
          const items = plan.map(({ value }) => numbered(value));
          for (const item of items) {
            heap.push(item);
          }
          const kept = items.filter((item, index) => {
            if (plan[index]?.removed) {
              heap.remove(item);
              return false;
            }
            return true;
          });

          expect(heap.size).toBe(kept.length);
          expect(drain(heap)).toEqual(kept.map((item) => item.value).sort((a, b) => a - b));
          expect(items.every((item) => item.heapIndex === -1)).toBe(true);
        },
      ),
    );
  });

  it("leaves an item alone that is in no heap", () => {
    const heap = ascending();
    const inside = numbered(1);
    heap.push(inside);

    heap.remove(numbered(1));

    expect(heap.peek()).toBe(inside);
  });

  it("takes an item back after it was removed", () => {
    const heap = ascending();
    const item = numbered(1);
    heap.push(item);
    heap.remove(item);
    heap.push(item);

    expect(drain(heap)).toEqual([1]);
  });
});
