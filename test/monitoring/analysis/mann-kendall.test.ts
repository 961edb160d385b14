import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mannKendall, serialInflation } from "../../../src/monitoring/analysis/mann-kendall.ts";
import { monthlyRainfall, rainfallSlope } from "./monthly-rainfall.ts";

/** Any order of 0 to n-1 whose S is that: from all ascending on, the largest is moved to the front, step by step. */
function orderWith(n: number, s: number): number[] {
  const order = Array.from({ length: n }, (_, index) => index);
  let swaps = ((n * (n - 1)) / 2 - s) / 2;
  for (let last = n - 1; last > 0 && swaps > 0; last--) {
    for (let i = 0; i < last && swaps > 0; i++, swaps--) {
      [order[i], order[i + 1]] = [order[i + 1] as number, order[i] as number];
    }
  }
  return order;
}

const series = fc.array(fc.integer({ min: -1_000, max: 1_000 }), { minLength: 3, maxLength: 40 });

describe("mannKendall", () => {
  // Kendall (1975), table A.1; Gilbert (1987), "Statistical Methods for Environmental Pollution Monitoring", table A18:
  // the chance of an S at least that high.
  it.each([
    [4, 2, 0.375],
    [4, 4, 0.167],
    [4, 6, 0.042],
    [5, 4, 0.242],
    [5, 8, 0.042],
    [5, 10, 0.0083],
    [6, 7, 0.136],
    [6, 11, 0.028],
    [7, 9, 0.119],
    [7, 15, 0.015],
    [8, 10, 0.138],
    [8, 16, 0.031],
    [9, 20, 0.022],
    [9, 30, 0.00043],
    [10, 17, 0.078],
    [10, 25, 0.014],
    [10, 29, 0.0046],
  ])("has the probability of the published table for %i values and S = %i", (n, s, oneSided) => {
    const test = mannKendall(orderWith(n, s));
    expect(test.s).toBe(s);
    expect(test.p / 2).toBeCloseTo(oneSided, oneSided < 0.01 ? 4 : 3);
  });

  // The rainfall of the test suites of R's packages "trend" and "modifiedmk", and of pymannkendall.
  it("agrees with published results on 353 months of rainfall, with ties", () => {
    const test = mannKendall(monthlyRainfall);
    expect(test.s).toBe(-1959);
    expect(test.variance).toBeCloseTo(4889800.3333, 3);
    expect(test.tau).toBeCloseTo(-0.0315316765, 9);
    expect(test.p).toBeCloseTo(0.3759105874, 6);
  });

  it("is no surer for what repeats itself", () => {
    expect(serialInflation(monthlyRainfall, rainfallSlope)).toBeGreaterThan(2);
  });

  it("is less sure where each value is like the one before", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 60, maxLength: 120 }), (steps) => {
        const held = steps.flatMap((value) => [value, value, value, value]);
        expect(serialInflation(held, 0)).toBeGreaterThan(1);
      }),
      { numRuns: 30 },
    );
  });

  it("turns round with its values", () => {
    fc.assert(
      fc.property(series, (values) => {
        const [forwards, backwards] = [mannKendall(values), mannKendall([...values].reverse())];
        expect(backwards.s).toBe(-forwards.s || 0);
        expect(backwards.p).toBeCloseTo(forwards.p, 12);
        expect(mannKendall(values.map((value) => -value)).s).toBe(-forwards.s || 0);
      }),
    );
  });

  it("goes by the order of values alone", () => {
    fc.assert(
      fc.property(series, (values) => {
        expect(mannKendall(values.map((value) => Math.exp(value / 200) * 7 + 3))).toEqual(mannKendall(values));
      }),
    );
  });

  it("is certain of nothing in values that never change", () => {
    expect(mannKendall(new Array(50).fill(3))).toMatchObject({ s: 0, variance: 0, p: 1 });
  });
});
