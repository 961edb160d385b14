import { expect, test } from "vitest";
import { mannKendall } from "../../../src/monitoring/analysis/mann-kendall.ts";
import { hamedRao, rankCorrelations } from "../../../src/monitoring/analysis/serial-correlation.ts";
import { monthlyRainfall, rainfallSlope } from "./monthly-rainfall.ts";

function inflationOver(lags: number): number {
  return hamedRao(monthlyRainfall.length, rankCorrelations(monthlyRainfall, rainfallSlope, lags));
}

// The rainfall of the test suites of R's packages "trend" and "modifiedmk", and of pymannkendall.
test("the correction of Hamed and Rao is as published, over two lags and over all", () => {
  const { variance } = mannKendall(monthlyRainfall);
  expect(variance * inflationOver(2)).toBeCloseTo(14228919.889, 1);
  expect(variance * inflationOver(352)).toBeCloseTo(259723.813, 1);
});

test("by it alone, what repeats itself would make a test surer", () => {
  expect(inflationOver(352)).toBeLessThan(0.1);
});
