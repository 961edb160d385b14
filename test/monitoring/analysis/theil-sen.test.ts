import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mannKendall } from "../../../src/monitoring/analysis/mann-kendall.ts";
import { theilSenLine } from "../../../src/monitoring/analysis/theil-sen.ts";
import { monthlyRainfall } from "./monthly-rainfall.ts";

describe("theilSenLine", () => {
  it("has the slope and the interval of Sen's own example (1968)", () => {
    const xs = [1, 2, 3, 4, 10, 12, 18];
    const ys = [9, 15, 19, 20, 45, 55, 78];
    const halfWidth = 1.8119107 * Math.sqrt(mannKendall(ys).variance);
    const line = theilSenLine(xs, ys, halfWidth);
    expect(line).toMatchObject({ slope: 4, intercept: 4 });
    expect(line?.lowSlope).toBeCloseTo(3.71, 2);
    expect(line?.highSlope).toBeCloseTo(4.38, 2);
  });

  it("has the published slope on 353 months of rainfall", () => {
    const xs = monthlyRainfall.map((_, index) => index);
    expect(theilSenLine(xs, monthlyRainfall)?.slope).toBeCloseTo(-0.0064516129032258064, 12);
  });

  it("finds a straight line whatever a quarter of its points say", () => {
    const wild = fc.double({ min: -1e6, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(
        fc.integer({ min: -50, max: 50 }),
        fc.integer({ min: -50, max: 50 }),
        fc.array(wild, { minLength: 10, maxLength: 10 }),
        fc.uniqueArray(fc.integer({ min: 0, max: 39 }), { minLength: 10, maxLength: 10 }),
        (slope, intercept, values, places) => {
          const xs = Array.from({ length: 40 }, (_, index) => index);
          const ys = xs.map((x) => slope * x + intercept);
          for (const [i, place] of places.entries()) ys[place] = values[i] as number;
          expect(theilSenLine(xs, ys)?.slope).toBeCloseTo(slope, 9);
        },
      ),
    );
  });

  it("follows what its points are moved and stretched by", () => {
    const points = fc.array(fc.integer({ min: -1_000, max: 1_000 }), { minLength: 3, maxLength: 30 });
    fc.assert(
      fc.property(points, fc.integer({ min: 1, max: 9 }), fc.integer({ min: -99, max: 99 }), (ys, factor, moved) => {
        const xs = ys.map((_, index) => index);
        const plain = theilSenLine(xs, ys);
        const other = theilSenLine(
          xs,
          ys.map((y) => factor * y + moved),
        );
        expect(other?.slope).toBeCloseTo(factor * (plain?.slope ?? Number.NaN), 9);
        expect(other?.intercept).toBeCloseTo(factor * (plain?.intercept ?? Number.NaN) + moved, 8);
      }),
    );
  });

  it("is none through points that are all at one place", () => {
    expect(theilSenLine([3, 3, 3], [1, 2, 3])).toBeUndefined();
    expect(theilSenLine([], [])).toBeUndefined();
  });
});
