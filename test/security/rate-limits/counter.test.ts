import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Counter } from "../../../src/security/rate-limits/counter.ts";

/** Whether the call is allowed; if so, it counts. */
function call(counter: Counter, key: string, nowMs: number): boolean {
  if (counter.waitMs(key, nowMs) > 0) return false;
  counter.count(key, nowMs);
  return true;
}

const allowed = (counter: Counter, key: string, nowMs: number, times: number): number =>
  Array.from({ length: times }, () => call(counter, key, nowMs)).filter(Boolean).length;

describe("a counter", () => {
  it("allows a burst, then as many as the time is worth", () => {
    const counter = new Counter({ limit: 10, windowMs: 1000, burst: 3 });
    expect(allowed(counter, "a", 0, 10)).toBe(3);
    expect(counter.waitMs("a", 0)).toBeCloseTo(100, 1);
    expect(allowed(counter, "a", 99, 10)).toBe(0);
    expect(allowed(counter, "a", 100, 10)).toBe(1);
    expect(allowed(counter, "a", 350, 10)).toBe(2);
    expect(allowed(counter, "a", 60_000, 10)).toBe(3);
  });

  it("counts each key for itself", () => {
    const counter = new Counter({ limit: 1, windowMs: 1000, burst: 1 });
    expect([call(counter, "a", 0), call(counter, "b", 0), call(counter, "a", 0)]).toEqual([true, true, false]);
  });

  it("never allows more than burst and rate say, in any window, and never refuses who comes back when told", () => {
    const options = fc.record({
      limit: fc.integer({ min: 1, max: 1000 }),
      windowMs: fc.integer({ min: 1, max: 100_000 }),
      burst: fc.integer({ min: 1, max: 20 }),
    });
    const gaps = fc.array(fc.oneof(fc.constant(0), fc.double({ min: 0, max: 2000, noNaN: true })), { maxLength: 200 });
    fc.assert(
      fc.property(options, gaps, fc.double({ min: 0, max: 1e9, noNaN: true }), (rule, waits, startMs) => {
        const counter = new Counter(rule);
        const times: number[] = [];
        let nowMs = startMs;
        for (const waitMs of waits) {
          nowMs += waitMs;
          if (call(counter, "a", nowMs)) times.push(nowMs);
          else {
            const patience = counter.waitMs("a", nowMs);
            expect(counter.waitMs("a", nowMs + patience + 1e-6)).toBe(0);
          }
        }
        const worthOf = (ms: number): number => (ms * rule.limit) / rule.windowMs;
        for (const [first, from] of times.entries()) {
          for (let last = first; last < times.length; last++) {
            const count = last - first + 1;
            expect(count).toBeLessThanOrEqual(rule.burst + worthOf((times[last] ?? 0) - from) + 0.01);
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  it("forgets keys that have recovered", () => {
    const counter = new Counter({ limit: 10, windowMs: 1000, burst: 1 });
    for (let nowMs = 0; nowMs < 100_000; nowMs += 10) call(counter, `key ${nowMs}`, nowMs);
    expect(counter.size).toBeLessThan(20);
  });

  it("keeps no more keys than it may: those there is no room for share a count, and those that are kept are kept", () => {
    const counter = new Counter({ limit: 1, windowMs: 1000, burst: 2, maxKeys: 100 });
    const early = Array.from({ length: 100 }, (_, index) => allowed(counter, `early ${index}`, 0, 1));
    expect(early.every((count) => count === 1)).toBe(true);
    const late = Array.from({ length: 1000 }, (_, index) => allowed(counter, `late ${index}`, 0, 1));
    expect(late.filter((count) => count === 1)).toHaveLength(2);
    expect(counter.size).toBe(101);
    expect(allowed(counter, "early 7", 0, 5)).toBe(1);
    expect(allowed(counter, "late 7", 60_000, 5)).toBe(2);
  });
});
