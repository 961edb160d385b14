import { afterEach, expect, it, vi } from "vitest";
import { OutcomeWindow } from "../../../src/runs/breakers/outcome-window.ts";

const options = { windowMs: 60_000, volumeThreshold: 4, errorThresholdPercentage: 50 };

afterEach(() => {
  vi.useRealTimers();
});

function add(window: OutcomeWindow, outcomes: string, nowMs = 0): boolean[] {
  return [...outcomes].map((outcome) => {
    if (outcome === "f") return window.addFailure(nowMs);
    window.addSuccess(nowMs);
    return false;
  });
}

it.each([
  ["fff", false, "too few attempts"],
  ["ffff", true, "all of enough"],
  ["ssff", false, "half of them is not above half"],
  ["ssfff", true, "more than half"],
  ["fffs", false, "a success brings the volume, and no failure follows"],
  ["fffsf", true, "a failure behind that"],
])("%s opens: %s (%s)", (outcomes, opens) => {
  const opened = add(new OutcomeWindow(options, 0), outcomes);
  expect(opened.at(-1)).toBe(opens);
  expect(opened.slice(0, -1)).not.toContain(true);
});

it.each([
  ["ffff", true],
  ["sfff", false],
  [`${"f".repeat(3)}s${"f".repeat(400)}`, false],
])("%s opens where all have to fail: %s", (outcomes, opens) => {
  const opened = add(new OutcomeWindow({ ...options, errorThresholdPercentage: 100 }, 0), outcomes);
  expect(opened.includes(true)).toBe(opens);
});

it("forgets what is older than its window, by the clock that it is told", () => {
  const window = new OutcomeWindow(options, 0);
  add(window, "fff", 1_000);
  add(window, "s", 50_000);
  expect(window.counts(50_000)).toEqual({ attempts: 4, failures: 3 });
  expect(window.counts(61_000)).toEqual({ attempts: 1, failures: 0 });
  expect(add(window, "f", 62_000)).toEqual([false]);
  expect(window.isEmpty(62_000)).toBe(false);
  expect(window.isEmpty(1_000_000)).toBe(true);
});

it("leaves no timer behind, neither open nor closed, and never rejects unseen", async () => {
  vi.useFakeTimers();
  const rejections = vi.fn();
  process.on("unhandledRejection", rejections);
  const window = new OutcomeWindow(options, 0);
  add(window, "sfsfs");
  expect(vi.getTimerCount()).toBe(0);
  expect(add(window, "ff").at(-1)).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", rejections);
  expect(rejections).not.toHaveBeenCalled();
});

it("says what was in it when it opened", () => {
  const window = new OutcomeWindow(options, 0);
  expect(add(window, "sfff", 10).at(-1)).toBe(true);
  expect(window.counts(20)).toEqual({ attempts: 4, failures: 3 });
});
