import { describe, expect, it } from "vitest";
import { type Found, formatPeers } from "../../../bench/peers/peers-table.ts";

/** Rounds of a product that does so many empty jobs a second, and half of them with steps. */
function found(name: string, ...perSecond: readonly number[]): Found {
  const load = (job: "empty" | "steps", inFlight: number, share: number) =>
    perSecond.map((rate) => ({ job, inFlight, perSecond: rate * share, p50Ms: 1.234, p99Ms: 20 }));
  return {
    name,
    told: `${name} 1.0`,
    measured: [...load("empty", 64, 1), ...load("empty", 1, 0.1), ...load("steps", 64, 0.5), ...load("steps", 1, 0.1)],
  };
}

describe("formatPeers", () => {
  it("has a line for each product: medians over the rounds, and how our throughput compares", () => {
    const lines = formatPeers([found("retake", 900, 1000, 5000), found("other", 250)]).split("\n");
    expect(lines.find((line) => line.startsWith("retake "))).toMatch(/^retake +1000 +20\.0 +1\.23 +500 +20\.0 +1\.23$/);
    expect(lines.find((line) => line.startsWith("other "))).toMatch(
      /^other +250 +20\.0 +1\.23 +4\.0 x +125 +20\.0 +1\.23 +4\.0 x$/,
    );
  });

  it("tells versions and settings below, and no ratio where we were not measured", () => {
    const text = formatPeers([found("other", 250)]);
    expect(text).toContain("\nother: other 1.0");
    expect(text).not.toContain(" x");
  });
});
