import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createSeededRandom } from "../../src/testing/seeded-random.ts";

function draw(seed: number, count: number): number[] {
  const random = createSeededRandom(seed);
  return Array.from({ length: count }, () => random.next());
}

describe("createSeededRandom", () => {
  it("gives equal sequences for equal seeds", () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (seed) => {
        expect(draw(seed, 20)).toEqual(draw(seed, 20));
      }),
    );
  });

  it("gives the same sequence in every version, so that a seed in a bug report stays worth something", () => {
    expect(draw(42, 3)).toMatchInlineSnapshot(`
      [
        0.29131022954605823,
        0.11133799525571064,
        0.3166959684496662,
      ]
    `);
  });

  it("begins differently for similar seeds", () => {
    const seeds = [0, 1, -1, 2, 3, 2 ** 31, 2 ** 32, -(2 ** 32), 2 ** 32 + 1, Number.MAX_SAFE_INTEGER];

    expect(new Set(seeds.map((seed) => draw(seed, 1)[0])).size).toBe(seeds.length);
  });

  it("spreads its numbers evenly from 0 to below 1", () => {
    const numbers = draw(7, 100_000);
    const counts = new Array<number>(10).fill(0);
    for (const number of numbers) {
      const bucket = Math.floor(number * 10);
      counts[bucket] = (counts[bucket] ?? 0) + 1;
    }

    expect(counts.length).toBe(10);
    // Six standard deviations of a binomial count.
    expect(counts.every((count) => Math.abs(count - 10_000) < 570)).toBe(true);
  });

  it("sets all 53 bits of its numbers", () => {
    const seen = draw(7, 200).reduce((bits, number) => bits | BigInt(number * 2 ** 53), 0n);

    expect(seen).toBe(2n ** 53n - 1n);
  });

  it.each([0, 1, 3, 4, 7, 16, 1000])("fills %i bytes, all of them and no others", (length) => {
    const random = createSeededRandom(3);
    const around = new Uint8Array(length + 2);
    const everSet = new Uint8Array(length);
    for (let round = 0; round < 8; round++) {
      const bytes = around.subarray(1, length + 1);
      random.fill(bytes);
      bytes.forEach((byte, index) => {
        everSet[index] = (everSet[index] ?? 0) | byte;
      });
    }

    expect(everSet.every((bits) => bits !== 0)).toBe(true);
    expect([around[0], around[length + 1]]).toEqual([0, 0]);
  });

  it("fills with bytes that differ from their neighbours", () => {
    const bytes = new Uint8Array(4000);
    createSeededRandom(3).fill(bytes);
    const equalNeighbours = bytes.filter((byte, index) => byte === bytes[index + 1]).length;

    // About one in 256.
    expect(equalNeighbours).toBeLessThan(50);
  });

  it("fills equally for equal seeds", () => {
    const [one, other] = [new Uint8Array(33), new Uint8Array(33)];
    createSeededRandom(5).fill(one);
    createSeededRandom(5).fill(other);

    expect(one).toEqual(other);
  });

  it.each([Number.NaN, 1.5, 2 ** 53, Number.POSITIVE_INFINITY])("refuses %s as a seed", (seed) => {
    expect(() => createSeededRandom(seed)).toThrow(RangeError);
  });
});
