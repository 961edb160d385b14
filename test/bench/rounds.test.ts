import { describe, expect, it } from "vitest";
import { selectFigures } from "../../bench/figures.ts";
import { planRounds } from "../../bench/rounds.ts";

describe("planRounds", () => {
  it("measures what the figures need and nothing else", () => {
    expect(planRounds(selectFigures("empty-run-p50-to-durable-reference"), 10).loads).toEqual(
      new Map([
        ["durable-reference", new Set(["latency"])],
        ["empty-run", new Set(["latency"])],
      ]),
    );
  });

  it.each([10, 60, 150])("fills %d seconds with rounds, and warms up for no longer than that", (seconds) => {
    const plan = planRounds(selectFigures(undefined), seconds);
    let roundMs = 0;
    for (const loads of plan.loads.values()) {
      if (loads.has("throughput")) roundMs += plan.leadInMs + plan.throughputMs;
      if (loads.has("latency")) roundMs += plan.latencyMs;
    }
    const measuredMs = roundMs * plan.rounds;
    expect(measuredMs).toBeLessThan(seconds * 1000 + 0.001);
    expect(measuredMs).toBeGreaterThan(seconds * 1000 - roundMs);
    expect(plan.longestWarmUpMs * plan.loads.size).toBeLessThan(seconds * 1000 + 0.001);
  });

  it("shortens the rounds rather than make fewer than three", () => {
    const plan = planRounds(selectFigures("bridge"), 0.5);
    expect(plan.rounds).toBe(3);
    expect(plan.throughputMs).toBeLessThan(100);
  });
});
