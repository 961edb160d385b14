import { describe, expect, it } from "vitest";
import { SpanBudget } from "../../../src/monitoring/telemetry/span-budget.ts";

function budgetAt(perSecond: number, burst: number) {
  const clock = { nowMs: 5_000, monotonic: () => clock.nowMs };
  const budget = new SpanBudget({ clock, perSecond, burst });
  const spend = (count: number): void => {
    for (let made = 0; made < count; made++) budget.spend();
  };
  return { clock, spend, allows: () => budget.allows(clock.nowMs) };
}

describe("a budget of spans", () => {
  it("lets traces begin until a rush has spent it", () => {
    const { allows, spend } = budgetAt(10, 100);
    spend(99);
    expect(allows()).toBe(true);
    spend(1);
    expect(allows()).toBe(false);
  });

  it("grows with time, up to what a rush may have", () => {
    const { clock, allows, spend } = budgetAt(10, 100);
    spend(100);
    clock.nowMs += 99;
    expect(allows()).toBe(false);
    clock.nowMs += 1;
    expect(allows()).toBe(true);
    clock.nowMs += 3_600_000;
    expect(allows()).toBe(true);
    spend(100);
    expect(allows()).toBe(false);
  });

  it("makes up for no more than what a rush may have", () => {
    const { clock, allows, spend } = budgetAt(10, 100);
    spend(40_000);
    clock.nowMs += 10_000;
    expect(allows()).toBe(false);
    clock.nowMs += 100;
    expect(allows()).toBe(true);
  });

  it("makes up for traces that have gone beyond it", () => {
    const { clock, allows, spend } = budgetAt(10, 100);
    spend(150);
    clock.nowMs += 5_000;
    expect(allows()).toBe(false);
    clock.nowMs += 100;
    expect(allows()).toBe(true);
  });
});
