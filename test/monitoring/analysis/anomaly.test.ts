import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findAnomalies } from "../../../src/monitoring/analysis/anomaly.ts";
import { explainAnomaly } from "../../../src/monitoring/analysis/explain.ts";
import type { Steps } from "../../../src/monitoring/analysis/steps.ts";

const minute = 60_000;

function minutes(values: readonly number[]): Steps {
  return { firstMs: minute, stepMs: minute, values };
}

/** 0.1 s, a little up and down. */
const calm = Array.from({ length: 60 }, (_, i) => 0.1 + (i % 5) * 0.002);

describe("findAnomalies", () => {
  const spiked = calm.with(30, 0.9).with(31, 1.2).with(32, 0.8).with(33, 0.9);

  it("tells a time in which values were not what they usually are", () => {
    const [found, ...others] = findAnomalies(minutes(spiked), { floor: 0.01 });
    expect(others).toEqual([]);
    expect(found).toMatchObject({ side: "above", steps: 4, peak: 1.2, ongoing: false });
    expect(found?.startMs).toBe(30 * minute);
    expect(found?.endMs).toBe(34 * minute);
    expect(found?.usual).toBeCloseTo(0.104, 3);
  });

  it("is explained in a sentence with its numbers", () => {
    const [found] = findAnomalies(minutes(spiked), { floor: 0.01 });
    expect(found && explainAnomaly({ title: "event-loop delay", unit: "s" }, found)).toBe(
      "Event-loop delay was above 119 ms for 4 min (4 samples in a row), at most 1.2 s, where 104 ms is usual: the median, from which half of all samples are no farther than 2 ms.",
    );
  });

  it("says whether it lasts", () => {
    expect(findAnomalies(minutes([...calm, 2, 2, 2]), { floor: 0.01 })).toMatchObject([{ ongoing: true, steps: 3 }]);
  });

  it("leaves out one or two wild samples", () => {
    expect(findAnomalies(minutes(calm.with(20, 9).with(21, 9).with(40, 9)), { floor: 0.01 })).toEqual([]);
  });

  it("is ended by a step of which nothing is known", () => {
    expect(findAnomalies(minutes(calm.with(20, 9).with(21, 9).with(22, Number.NaN).with(23, 9)), { floor: 0 })).toEqual(
      [],
    );
  });

  it("does not alarm where a flat series moves less than the floor", () => {
    const flat = new Array<number>(60).fill(0);
    const bump = flat.with(30, 3).with(31, 3).with(32, 3);
    expect(findAnomalies(minutes(bump), { floor: 5 })).toEqual([]);
    expect(findAnomalies(minutes(bump), { floor: 2 })).toMatchObject([{ peak: 3, deviation: 0 }]);
  });

  it("looks at the side that matters", () => {
    const dip = calm.map((value, i) => (i >= 30 && i < 35 ? 0 : value));
    expect(findAnomalies(minutes(dip), { floor: 0.01, side: "above" })).toEqual([]);
    expect(findAnomalies(minutes(dip), { floor: 0.01, side: "below" })).toMatchObject([{ side: "below", peak: 0 }]);
    expect(findAnomalies(minutes(dip), { floor: 0.01 })).toHaveLength(1);
  });

  it("knows nothing of what is usual by few samples", () => {
    expect(findAnomalies(minutes([1, 1, 1, 1, 1, 9, 9, 9, 9]), { floor: 0 })).toEqual([]);
  });

  it("is found wherever it is, however large the numbers are", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 55 }),
        fc.integer({ min: 3, max: 5 }),
        fc.double({ min: 1e-6, max: 1e9, noNaN: true }),
        (from, length, scale) => {
          const values = calm.map((value, i) => scale * (i >= from && i < from + length ? value * 10 : value));
          const found = findAnomalies(minutes(values), { floor: scale * 0.01 });
          expect(found).toMatchObject([{ side: "above", steps: length, startMs: from * minute }]);
        },
      ),
    );
  });

  it("is outside of the band in each of its steps, and nothing else is for long", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 20, maxLength: 80 }), (values) => {
        const found = findAnomalies(minutes(values), { floor: 1 });
        for (const { side, startMs, steps, band, peak } of found) {
          const own = values.slice(startMs / minute, startMs / minute + steps);
          expect(own).toHaveLength(steps);
          expect(own.every((value) => (side === "above" ? value > band[1] : value < band[0]))).toBe(true);
          expect(own).toContain(peak);
          expect(steps).toBeGreaterThanOrEqual(3);
        }
      }),
    );
  });
});
