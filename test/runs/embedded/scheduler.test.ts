import { beforeEach, describe, expect, it } from "vitest";
import type { Clock } from "../../../src/clock.ts";
import { createEmbeddedScheduler } from "../../../src/runs/embedded/scheduler.ts";
import type { Scheduler } from "../../../src/runs/ports/scheduler.ts";
import { createVirtualClock, type VirtualClock } from "../../../src/testing/virtual-clock.ts";
import { describeScheduler } from "../ports/scheduler-contract.ts";

describeScheduler("the embedded scheduler", (clock) => createEmbeddedScheduler({ clock }));

describe("createEmbeddedScheduler", () => {
  let clock: VirtualClock;
  let scheduler: Scheduler;
  let turns: string[];

  async function record(runId: string): Promise<void> {
    turns.push(runId);
  }

  beforeEach(() => {
    clock = createVirtualClock({ startMs: 0 });
    scheduler = createEmbeddedScheduler({ clock });
    turns = [];
  });

  it.each([
    ["become due at one time", 100],
    ["are wanted at once", 0],
  ])("lets I/O in between turns when very many %s", async (_, dueMs) => {
    const count = 10_000;
    let taken = 0;
    let turnsSinceIo = 0;
    let mostTurnsSinceIo = 0;
    const letIoIn = () => {
      turnsSinceIo = 0;
      if (taken < count) {
        clock.setImmediate(letIoIn);
      }
    };
    scheduler.start(async () => {
      if (taken++ === 0) {
        letIoIn();
      }
      mostTurnsSinceIo = Math.max(mostTurnsSinceIo, ++turnsSinceIo);
    });
    for (let run = 0; run < count; run++) {
      scheduler.wake(`run ${run}`, dueMs, 0);
    }
    await clock.advance(100);

    expect(taken).toBe(count);
    expect(mostTurnsSinceIo).toBeLessThanOrEqual(64);
  });

  it("finds the first of very many that become due at once", async () => {
    const count = 5000;
    for (let run = 0; run < count; run++) {
      scheduler.wake(`run ${run}`, 100, run % 100);
    }
    scheduler.start(record);
    await clock.advance(100);

    expect(turns.length).toBe(count);
    const priorities = turns.map((runId) => Number(runId.slice(4)) % 100);
    expect(priorities).toEqual([...priorities].sort((a, b) => b - a));
  });

  it("gives one turn for one wish", async () => {
    scheduler.start(record);
    scheduler.wake("a", 0, 0);
    scheduler.wake("a", 0, 0);
    await clock.advance(0);
    await clock.advance(1000);

    expect(turns).toEqual(["a"]);
  });

  it("keeps one timer for all wishes, and none when there is nothing to wait for", async () => {
    scheduler.start(record);
    expect(clock.pendingTimers).toBe(0);
    scheduler.wake("due", 0, 0);
    expect(clock.pendingTimers).toBe(0);

    for (let run = 100; run > 0; run--) {
      scheduler.wake(`run ${run}`, run * 10, 0);
    }
    expect(clock.pendingTimers).toBe(1);
    await clock.advance(500);
    expect(clock.pendingTimers).toBe(1);

    for (let run = 51; run <= 100; run++) {
      scheduler.forget(`run ${run}`);
    }
    expect(clock.pendingTimers).toBe(0);
    expect(turns.length).toBe(51);
  });

  it("leaves its timer alone for wishes that are due later", () => {
    let timersSet = 0;
    const counting: Clock = {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      setImmediate: (callback) => clock.setImmediate(callback),
      setTimeout: (callback, delayMs) => {
        timersSet++;
        return clock.setTimeout(callback, delayMs);
      },
    };
    const counted = createEmbeddedScheduler({ clock: counting });
    counted.start(record);
    for (let run = 0; run < 100; run++) {
      counted.wake(`run ${run}`, 1000 + run, 0);
    }

    expect(timersSet).toBe(1);
  });

  it("keeps no timer once it is stopped", async () => {
    scheduler.start(record);
    scheduler.wake("a", 1000, 0);
    await scheduler.stop();
    expect(clock.pendingTimers).toBe(0);

    scheduler.wake("b", 1000, 0);
    expect(clock.pendingTimers).toBe(0);
  });

  it("hands out nothing more once a turn has stopped it", async () => {
    scheduler.start(async (runId) => {
      turns.push(runId);
      void scheduler.stop();
    });
    scheduler.wake("a", 0, 0);
    scheduler.wake("b", 0, 0);
    await clock.advance(0);

    expect(turns).toEqual(["a"]);
  });
});
