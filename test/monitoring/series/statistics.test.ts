import { describe, expect, it } from "vitest";
import { extrapolatedIncrease, windowStatistics } from "../../../src/monitoring/series/statistics.ts";

const window = { afterMs: 0, untilMs: 60_000 };

function every10Seconds(...values: number[]) {
  return { timesMs: values.map((_, i) => (i + 1) * 10_000), values };
}

describe("windowStatistics", () => {
  it("sums up a gauge", () => {
    expect(windowStatistics("gauge", every10Seconds(3, 1, 5, 7), window)).toEqual({
      ...{ count: 4, sum: 16, min: 1, max: 7, avg: 4, latest: 7 },
    });
  });

  it("tells how fast a counter rises, per second", () => {
    const { increase, rate, latest } = windowStatistics("counter", every10Seconds(10, 20, 30, 40, 50, 60), window);
    expect(increase).toBeCloseTo(60, 9);
    expect(rate).toBeCloseTo(1, 9);
    expect(latest).toBe(60);
  });

  it("tells nothing of an empty window, and no rate of one sample", () => {
    expect(windowStatistics("counter", every10Seconds(), window)).toEqual({ count: 0 });
    expect(windowStatistics("counter", every10Seconds(4), window)).toEqual({ count: 1, min: 4, max: 4, latest: 4 });
  });
});

describe("extrapolatedIncrease", () => {
  it("counts on after a reset", () => {
    expect(extrapolatedIncrease(every10Seconds(100, 110, 5, 15), { afterMs: 10_000, untilMs: 40_000 })).toBeCloseTo(
      25,
      9,
    );
  });

  it("stretches by half a distance where the samples begin late, and not below 0", () => {
    const late = { timesMs: [40_000, 50_000, 60_000], values: [100, 110, 120] };
    expect(extrapolatedIncrease(late, window)).toBeCloseTo(20 * (25 / 20), 9);
    const fromZero = { timesMs: [40_000, 50_000, 60_000], values: [0, 10, 20] };
    expect(extrapolatedIncrease(fromZero, window)).toBeCloseTo(20, 9);
  });
});
