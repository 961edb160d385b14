import { describe, expect, it } from "vitest";
import { histogramQuantile } from "../../../src/monitoring/series/histogram-quantile.ts";

const buckets = [
  { upperBound: 0.1, count: 10 },
  { upperBound: 1, count: 40 },
  { upperBound: Number.POSITIVE_INFINITY, count: 50 },
];

describe("histogramQuantile", () => {
  it.each([
    [0, 0],
    [0.1, 0.05],
    [0.2, 0.1],
    [0.5, 0.1 + 0.9 * 0.5],
    [0.8, 1],
    [0.99, 1],
    [-1, Number.NEGATIVE_INFINITY],
    [1.5, Number.POSITIVE_INFINITY],
  ])("tells the quantile %d as PromQL does: %d", (quantile, expected) => {
    expect(histogramQuantile(quantile, [...buckets].reverse())).toBeCloseTo(expected, 12);
  });

  it("tells nothing about nothing, or without the bucket for everything", () => {
    expect(histogramQuantile(Number.NaN, buckets)).toBeNaN();
    expect(histogramQuantile(0.5, [])).toBeNaN();
    expect(histogramQuantile(0.5, buckets.slice(0, 2))).toBeNaN();
    expect(
      histogramQuantile(
        0.5,
        buckets.map((bucket) => ({ ...bucket, count: 0 })),
      ),
    ).toBeNaN();
  });

  it("takes a bucket that holds less than the one below it for one that holds as much", () => {
    const uneven = [buckets[0], { upperBound: 0.5, count: 9 }, buckets[1], buckets[2]].filter(
      (one) => one !== undefined,
    );
    expect(histogramQuantile(0.5, uneven)).toBeCloseTo(0.5 + 0.5 * (15 / 30), 12);
  });
});
