import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { explainTrend } from "../../../src/monitoring/analysis/explain.ts";
import type { Steps } from "../../../src/monitoring/analysis/steps.ts";
import { findTrend } from "../../../src/monitoring/analysis/trend.ts";

const minute = 60_000;
const hour = 60 * minute;
const GiB = 2 ** 30;

function each(stepMs: number, values: readonly number[]): Steps {
  return { firstMs: stepMs, stepMs, values };
}

/** Without a seed of its own, and the same each time: between -1 and 1. */
function noise(index: number): number {
  const wave = Math.sin(index * 12.9898) * 43758.5453;
  return 2 * (wave - Math.floor(wave)) - 1;
}

describe("findTrend", () => {
  const filling = each(
    30 * minute,
    Array.from({ length: 48 }, (_, i) => (100 - i) * GiB + noise(i) * GiB),
  );

  it("tells when a disk will be full", () => {
    const trend = findTrend(filling, { limit: 0, least: GiB });
    expect(trend?.direction).toBe("falling");
    expect((trend?.slopePerHour ?? 0) / GiB).toBeCloseTo(-2, 1);
    // 53 GiB are left, at 2 GiB an hour.
    expect((trend?.exhaustion?.inMs ?? 0) / hour).toBeCloseTo(26.5, 0);
    const [soonest, latest] = trend?.exhaustion?.rangeMs ?? [0, 0];
    expect(soonest).toBeLessThan(trend?.exhaustion?.inMs ?? 0);
    expect(latest).toBeGreaterThan(trend?.exhaustion?.inMs ?? 0);
  });

  it("is explained in a sentence with its numbers", () => {
    const trend = findTrend(filling, { limit: 0, least: GiB });
    expect(trend && explainTrend({ title: "free disk space", unit: "By" }, trend)).toMatch(
      /^Free disk space falls by (2|2\.0\d|1\.9\d) GiB an hour, from (99|100|101)(\.\d+)? GiB to 5[23](\.\d+)? GiB within 23 h 30 min, and reaches 0 B in 1 day \dh?.* \(between 1 day.* and 1 day.*, with a confidence of 95 %\): the median slope of 48 points \(Theil-Sen\), with a Mann-Kendall tau of -0\.9\d and p < 0\.0001\.$/,
    );
  });

  it("does not tell a limit that values move away from", () => {
    const trend = findTrend(
      each(
        minute,
        Array.from({ length: 40 }, (_, i) => 10 + i),
      ),
      { limit: 0, least: 1 },
    );
    expect(trend).toMatchObject({ direction: "rising", slopePerHour: 60 });
    expect(trend).not.toHaveProperty("exhaustion");
  });

  it("leaves out what changes too little to matter", () => {
    const values = Array.from({ length: 48 }, (_, i) => 100 + i * 0.01);
    expect(findTrend(each(minute, values), { least: 1 })).toBeUndefined();
    expect(findTrend(each(minute, values), { least: 0.1 })).toBeDefined();
  });

  it("needs some points, and does not count steps of which nothing is known", () => {
    const values = Array.from({ length: 30 }, (_, i) => (i % 4 === 0 ? i : Number.NaN));
    expect(findTrend(each(minute, values), { least: 0 })).toBeUndefined();
    const more = Array.from({ length: 60 }, (_, i) => (i % 4 === 0 ? i : Number.NaN));
    expect(findTrend(each(minute, more), { least: 0 })).toMatchObject({ points: 15, slopePerHour: 60 });
  });

  it("sees no trend in chance: in at most one of fifty series without one", () => {
    let found = 0;
    const runs = 150;
    for (let run = 0; run < runs; run++) {
      const values = Array.from({ length: 60 }, (_, i) => noise(run * 1_000 + i));
      if (findTrend(each(minute, values), { least: 0 }) !== undefined) found++;
    }
    expect(found).toBeLessThan(runs / 50);
  });

  it("is not taken in by a series that stays near where it was", () => {
    let found = 0;
    const runs = 100;
    for (let run = 0; run < runs; run++) {
      let value = 0;
      const values = Array.from({ length: 60 }, (_, i) => {
        value = 0.8 * value + noise(run * 1_000 + i);
        return value;
      });
      if (findTrend(each(minute, values), { least: 0 }) !== undefined) found++;
    }
    // A test that takes neighbours for strangers finds a trend in every third of them.
    expect(found / runs).toBeLessThan(0.08);
  });

  it("turns round with its series", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 12, maxLength: 40 }), (bumps) => {
        const rising = bumps.map((bump, i) => bump + 100 * i);
        const up = findTrend(each(minute, rising), { least: 1 });
        const down = findTrend(
          each(
            minute,
            rising.map((value) => -value),
          ),
          { least: 1 },
        );
        expect(down?.direction).toBe(up && "falling");
        expect(down?.p).toBe(up?.p);
        if (up !== undefined) expect(down?.slopePerHour).toBeCloseTo(-up.slopePerHour, 6);
      }),
    );
  });
});
