import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SortedList } from "../src/sorted-list.ts";

/** Numbers in order, and how often two were compared. */
function create() {
  const looks = { count: 0 };
  const list = new SortedList<number>((a, b) => {
    looks.count++;
    return a < b;
  });
  return { list, looks };
}

/** The numbers from 0 on, so many, shuffled in the same way each time. */
function shuffled(count: number): number[] {
  const step = 7_919;
  return Array.from({ length: count }, (_, index) => (index * step) % count);
}

describe("a sorted list", () => {
  it("is empty at first, and when it has been cleared", () => {
    const { list } = create();
    const isEmpty = () =>
      expect([list.size, list.first, [...list], list.countBefore(1)]).toEqual([0, undefined, [], 0]);
    isEmpty();
    list.add(1);
    list.clear();
    isEmpty();
    expect(list.remove(1)).toBe(false);
  });

  it("has its items in order, and knows the place of each, whatever goes in and is taken out", () => {
    const numbers = fc.integer({ min: 0, max: 3_000 });
    fc.assert(
      fc.property(fc.uniqueArray(numbers, { minLength: 1_500, maxLength: 2_500 }), fc.array(numbers), (all, gone) => {
        const { list } = create();
        for (const number of all) list.add(number);
        const kept = new Set(all);
        for (const number of [...gone, ...all.slice(0, 1_200)]) expect(list.remove(number)).toBe(kept.delete(number));
        const expected = [...kept].sort((a, b) => a - b);
        expect([...list]).toEqual(expected);
        expect([list.size, list.first]).toEqual([expected.length, expected[0]]);
        for (const [place, number] of expected.entries()) expect(list.countBefore(number)).toBe(place);
        expect(list.countBefore(3_001)).toBe(expected.length);
      }),
      { numRuns: 20 },
    );
  });

  it("compares few of 100,000 items to add one, to tell its place or to take it out, also when most are gone", () => {
    const { list, looks } = create();
    const count = 100_000;
    const numbers = shuffled(count);
    const looksFor = (work: (number: number) => void, some: readonly number[]): number => {
      looks.count = 0;
      for (const number of some) work(number);
      return looks.count / some.length;
    };
    expect(looksFor((number) => list.add(number), numbers)).toBeLessThan(20);
    expect(looksFor((number) => expect(list.countBefore(number)).toBe(number), numbers.slice(0, 1_000))).toBeLessThan(
      20,
    );
    const [left, gone] = [numbers.slice(0, 10), numbers.slice(10)];
    expect(looksFor((number) => list.remove(number), gone)).toBeLessThan(20);
    expect(looksFor((number) => list.countBefore(number), left)).toBeLessThan(8);
    expect(list.size).toBe(10);
  });
});
