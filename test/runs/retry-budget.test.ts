import { describe, expect, it } from "vitest";
import { RetryBudget } from "../../src/runs/retry-budget.ts";
import { createVirtualClock } from "../../src/testing/index.ts";

function create(options: { maxTokens?: number; tokenRatio?: number; tokenIntervalMs?: number } = {}) {
  const clock = createVirtualClock();
  const woken: string[] = [];
  const budget = new RetryBudget(
    { maxTokens: 10, tokenRatio: 0.5, tokenIntervalMs: 10_000, ...options },
    clock,
    (runId) => woken.push(runId),
  );
  const end = (verdict: "success" | "failure" | undefined, times = 1) => {
    for (let i = 0; i < times; i++) budget.settle("first attempt", verdict);
  };
  return { budget, clock, woken, end };
}

describe("a retry budget", () => {
  it("lets retries go while more than half of its tokens are left", () => {
    const { budget, end } = create();
    end("failure", 4);
    expect(budget.admit("a")).toBe(true);
    expect(budget.admit("b")).toBe(false);
    expect(budget.admit("a")).toBe(true);
  });

  it("counts a retry that fails once, and gives back what one takes that does not", () => {
    const { budget, end } = create();
    end("failure", 4);
    expect(budget.admit("a")).toBe(true);
    budget.settle("a", "failure");
    expect(budget.admit("b")).toBe(false);
    budget.withdraw("b");
    end("success", 2);
    expect(budget.admit("c")).toBe(true);
    budget.settle("c", undefined);
    expect(budget.admit("d")).toBe(true);
    budget.settle("d", "success");
    expect(["e", "f", "g"].map((runId) => budget.admit(runId))).toEqual([true, true, false]);
  });

  it("wakes those that wait when successes have brought enough back, one by one and in order", () => {
    const { budget, woken, end } = create();
    end("failure", 5);
    expect(["a", "b", "c"].map((runId) => budget.admit(runId))).toEqual([false, false, false]);
    expect(budget.place("b")).toMatchObject({ position: 2 });
    end("success");
    expect(woken).toEqual(["a"]);
    end("success");
    expect(woken).toEqual(["a"]);
    budget.settle("a", "success");
    expect(woken).toEqual(["a", "b", "c"]);
    expect(budget.place("c")).toBeUndefined();
  });

  it("lets newcomers go behind those that wait", () => {
    const { budget, clock, woken, end } = create();
    end("failure", 5);
    budget.admit("a");
    end("success");
    budget.admit("b");
    expect([budget.admit("newcomer"), woken]).toEqual([false, ["a"]]);
    expect(clock.pendingTimers).toBe(1);
  });

  it("gives a token back now and then, so that nobody waits for ever where nothing else runs, or hangs", async () => {
    const { budget, clock, woken, end } = create();
    end("failure", 100);
    budget.admit("a");
    budget.admit("b");
    const place = budget.place("b");
    expect(place?.notBeforeMs).toBe(clock.now() + 60_000);
    await clock.advance(50_000);
    expect(woken).toEqual([]);
    await clock.advance(1);
    expect(woken).toEqual(["a"]);
    // "a" hangs.
    await clock.advance(10_001);
    expect(woken).toEqual(["a", "b"]);
    expect(clock.pendingTimers).toBe(0);
  });

  it.each([1, 2, 3])("of %i tokens is spent by failures and comes back", async (maxTokens) => {
    const { budget, clock, woken, end } = create({ maxTokens });
    expect(budget.admit("a")).toBe(true);
    budget.settle("a", "failure");
    end("failure", 3);
    expect(budget.admit("b")).toBe(false);
    await clock.advance(maxTokens * 5_000 + 1);
    expect(woken).toEqual(["b"]);
  });

  it("lets retries that fail go no more often than tokens come back, however few it holds", async () => {
    const { budget, clock, woken } = create({ maxTokens: 1, tokenIntervalMs: 1000 });
    const waitedMs: number[] = [];
    expect(budget.admit("run")).toBe(true);
    for (let retry = 1; retry <= 3; retry++) {
      budget.settle("run", "failure");
      const sinceMs = clock.monotonic();
      expect(budget.admit("run")).toBe(false);
      expect(budget.place("run")?.notBeforeMs).toBe(clock.now() + (retry === 1 ? 500 : 999));
      while (woken.length < retry) await clock.advance(1);
      waitedMs.push(clock.monotonic() - sinceMs);
    }
    expect(waitedMs).toEqual([501, 1000, 1000]);
  });

  it("gets back from a retry what that has taken, and no more", async () => {
    const { budget, clock, woken, end } = create({ maxTokens: 1, tokenIntervalMs: 1000 });
    end("failure");
    budget.admit("a");
    await clock.advance(501);
    expect(woken).toEqual(["a"]);
    // First attempts that fail meanwhile cost nothing where there is nothing left.
    end("failure", 3);
    budget.settle("a", undefined);
    expect(budget.admit("b")).toBe(true);
    expect(budget.admit("c")).toBe(false);
    expect(budget.place("c")?.notBeforeMs).toBe(clock.now() + 999);
  });

  it("never has more tokens than it may, nor fewer than none", async () => {
    const { budget, clock, end } = create({ maxTokens: 4 });
    end("success", 100);
    await clock.advance(1_000_000);
    expect(["a", "b", "c"].map((runId) => budget.admit(runId))).toEqual([true, true, false]);
  });

  it("lets all go when there is none any more", () => {
    const { budget, clock, woken, end } = create();
    end("failure", 5);
    budget.admit("a");
    budget.admit("b");
    budget.open();
    expect(woken).toEqual(["a", "b"]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("follows settings that have changed", () => {
    const { budget, woken, end } = create();
    end("failure", 6);
    budget.admit("a");
    budget.adopt({ maxTokens: 6, tokenRatio: 1, tokenIntervalMs: 1000 });
    expect(woken).toEqual(["a"]);
  });
});
