import { describe, expect, it } from "vitest";
import { backoffMs } from "../../src/runs/backoff.ts";
import { createSeededRandom } from "../../src/testing/index.ts";

const policy = { initialBackoffMs: 100, maxBackoffMs: 1000, backoffMultiplier: 2 };
const at = (value: number) => ({ next: () => value, fill: () => undefined });

describe("backoffMs", () => {
  it("doubles from the first wait up to the longest", () => {
    expect([1, 2, 3, 4, 5, 50].map((retry) => backoffMs(policy, retry, at(0.5)))).toEqual([
      100, 200, 400, 800, 1000, 1000,
    ]);
  });

  it("has a jitter of 20 % either way", () => {
    expect(backoffMs(policy, 1, at(0))).toBe(80);
    expect(backoffMs(policy, 1, at(1))).toBeCloseTo(120);
    const random = createSeededRandom(1);
    const waits = Array.from({ length: 1000 }, () => backoffMs(policy, 5, random));
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(800);
    expect(Math.max(...waits)).toBeLessThanOrEqual(1200);
  });
});
