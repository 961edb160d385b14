import { describe, expect, it } from "vitest";
import { median, quantile } from "../../bench/statistics.ts";

describe("median", () => {
  it("is the value in the middle, whatever the order", () => {
    expect(median([9, 1, 5])).toBe(5);
  });

  it("is the mean of the two values in the middle", () => {
    expect(median([4, 1, 3, 100])).toBe(3.5);
  });

  it("is not a number without values", () => {
    expect(median([])).toBeNaN();
  });
});

describe("quantile", () => {
  it("is the smallest and the largest value at the ends", () => {
    expect(quantile([3, 1, 2], 0)).toBe(1);
    expect(quantile([3, 1, 2], 1)).toBe(3);
  });

  it("lies between two values in proportion", () => {
    expect(quantile([10, 20, 30, 40, 50], 0.9)).toBeCloseTo(46);
  });

  it("leaves the values in their order", () => {
    const values = [3, 1, 2];
    quantile(values, 0.5);
    expect(values).toEqual([3, 1, 2]);
  });
});
