import { describe, expect, it, vi } from "vitest";
import { createVirtualClock } from "../../src/testing/virtual-clock.ts";

async function promiseJobs(count: number): Promise<void> {
  for (let job = 0; job < count; job++) {
    await Promise.resolve();
  }
}

describe("createVirtualClock", () => {
  it("stands still until it is moved", async () => {
    const clock = createVirtualClock({ startMs: 1000 });
    const callback = vi.fn();
    clock.setTimeout(callback, 0);
    await new Promise((resolve) => setImmediate(resolve));

    expect(clock.now()).toBe(1000);
    expect(clock.monotonic()).toBe(0);
    expect(callback).not.toHaveBeenCalled();
    expect(clock.pendingTimers).toBe(1);
  });

  it("starts at a fixed time unless told when", () => {
    expect(new Date(createVirtualClock().now()).toISOString()).toBe("2026-01-01T00:00:00.000Z");
    expect(() => createVirtualClock({ startMs: Number.NaN })).toThrow(RangeError);
  });

  it("fires timers at their due time, in order of that and then of creation", async () => {
    const clock = createVirtualClock({ startMs: 0 });
    const log: [string, number][] = [];
    const note = (name: string) => () => log.push([name, clock.now()]);
    clock.setTimeout(note("c"), 20);
    clock.setTimeout(note("a"), 10);
    clock.setTimeout(note("b"), 10);
    clock.setTimeout(note("now"), 0);
    clock.setTimeout(note("as soon as possible"), -1);
    clock.setTimeout(note("late"), 31);

    await clock.advance(30);

    expect(log).toEqual([
      ["now", 0],
      ["as soon as possible", 0],
      ["a", 10],
      ["b", 10],
      ["c", 20],
    ]);
    expect(clock.now()).toBe(30);
    expect(clock.pendingTimers).toBe(1);
  });

  it("fires timers that a call-back sets, when they are due within the same movement", async () => {
    const clock = createVirtualClock({ startMs: 0 });
    const firedAt: number[] = [];
    const again = () => {
      firedAt.push(clock.now());
      clock.setTimeout(again, 10);
    };
    again();

    await clock.advance(25);

    expect(firedAt).toEqual([0, 10, 20]);
  });

  it("treats NaN as no delay and never fires after an infinite one", async () => {
    const clock = createVirtualClock();
    const soon = vi.fn();
    const never = vi.fn();
    clock.setTimeout(soon, Number.NaN);
    const timer = clock.setTimeout(never, Number.POSITIVE_INFINITY);
    expect(clock.pendingTimers).toBe(1);

    await clock.advance(0);
    expect(soon).toHaveBeenCalledTimes(1);
    await clock.runUntilIdle();
    timer.cancel();

    expect(never).not.toHaveBeenCalled();
  });

  it("does not fire what is cancelled, be it by another timer of the same time", async () => {
    const clock = createVirtualClock();
    const callback = vi.fn();
    clock.setTimeout(() => second.cancel(), 5);
    const second = clock.setTimeout(callback, 5);
    const third = clock.setTimeout(callback, 5);
    third.cancel();
    third.cancel();
    expect(clock.pendingTimers).toBe(2);

    await clock.advance(5);
    second.cancel();

    expect(callback).not.toHaveBeenCalled();
    expect(clock.pendingTimers).toBe(0);
  });

  it("lets promise jobs settle, however many follow one another, before the next timer fires", async () => {
    const clock = createVirtualClock();
    const log: string[] = [];
    clock.setTimeout(async () => {
      log.push("first");
      await promiseJobs(500);
      log.push("first settled");
    }, 10);
    clock.setTimeout(() => log.push("second"), 10);

    await clock.advance(10);

    expect(log).toEqual(["first", "first settled", "second"]);
  });

  it("lets what came before the movement settle first, timers that it sets included", async () => {
    const clock = createVirtualClock({ startMs: 0 });
    const firedAt: number[] = [];
    void promiseJobs(50).then(() => clock.setTimeout(() => firedAt.push(clock.now()), 10));

    await clock.advance(15);

    expect(firedAt).toEqual([10]);
  });

  it("lets what the last timer sets off settle before the movement ends", async () => {
    const clock = createVirtualClock();
    let settled = false;
    clock.setTimeout(() => {
      clock.setImmediate(() => {
        void promiseJobs(10).then(() => {
          settled = true;
        });
      });
    }, 10);

    await clock.advance(10);

    expect(settled).toBe(true);
  });

  it("calls setImmediate's call-backs back in order, between timers, at the time that stands", async () => {
    const clock = createVirtualClock({ startMs: 0 });
    const log: [string, number][] = [];
    const note = (name: string) => log.push([name, clock.now()]);
    clock.setTimeout(() => {
      note("timer 1");
      clock.setImmediate(() => {
        note("immediate 1");
        clock.setImmediate(() => note("immediate 3"));
      });
      clock.setImmediate(() => note("immediate 2"));
    }, 1);
    clock.setTimeout(() => note("timer 2"), 2);

    await clock.advance(2);

    expect(log).toEqual([
      ["timer 1", 1],
      ["immediate 1", 1],
      ["immediate 2", 1],
      ["immediate 3", 1],
      ["timer 2", 2],
    ]);
  });

  it("calls setImmediate's call-backs back without being moved", async () => {
    const clock = createVirtualClock();

    await new Promise<void>((resolve) => clock.setImmediate(resolve));
  });

  it("advances to a time of the wall clock", async () => {
    const clock = createVirtualClock({ startMs: 1000 });
    const callback = vi.fn();
    clock.setTimeout(callback, 500);

    await clock.advanceTo(1499);
    expect(callback).not.toHaveBeenCalled();

    await clock.advanceTo(1500);
    expect(callback).toHaveBeenCalledTimes(1);
    expect(clock.now()).toBe(1500);
    expect(clock.monotonic()).toBe(500);
  });

  it("takes one movement after the other", async () => {
    const clock = createVirtualClock({ startMs: 0 });
    const firedAt: number[] = [];
    clock.setTimeout(() => firedAt.push(clock.now()), 15);

    const movements = [clock.advance(10), clock.advance(10), clock.advanceTo(30)];

    expect(await Promise.all(movements.map((movement) => movement.then(() => clock.now())))).toEqual([10, 20, 30]);
    expect(firedAt).toEqual([15]);
  });

  it("goes on for as many timers as there are while time moves", async () => {
    const clock = createVirtualClock({ startMs: 0 });
    let fired = 0;
    const again = () => {
      fired++;
      clock.setTimeout(again, 1);
    };
    again();
    await clock.advance(100_001);

    expect(fired).toBe(100_002);
  });

  it("waits for what is still settling before it finds that no timer is pending", async () => {
    const clock = createVirtualClock({ startMs: 0 });
    const callback = vi.fn();
    void promiseJobs(50).then(() => clock.setTimeout(callback, 10));
    await clock.runUntilIdle();

    expect(callback).toHaveBeenCalledTimes(1);
  });

  it("runs until no timer is pending", async () => {
    const clock = createVirtualClock({ startMs: 0 });
    const firedAt: number[] = [];
    clock.setTimeout(async () => {
      firedAt.push(clock.now());
      await promiseJobs(5);
      clock.setTimeout(() => firedAt.push(clock.now()), 3_600_000);
    }, 10);

    await clock.runUntilIdle();

    expect(firedAt).toEqual([10, 3_600_010]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("jumps on the wall clock alone", async () => {
    const clock = createVirtualClock({ startMs: 1_000_000 });
    const firedAt: number[] = [];
    clock.setTimeout(() => firedAt.push(clock.now()), 100);

    clock.jump(500_000);
    expect(clock.now()).toBe(1_500_000);
    expect(clock.monotonic()).toBe(0);
    await clock.advance(99);
    expect(firedAt).toEqual([]);

    clock.jump(-1_000_000);
    expect(clock.now()).toBe(500_099);
    await clock.advance(1);
    expect(firedAt).toEqual([500_100]);
    expect(clock.monotonic()).toBe(100);
  });

  it("hands on what a call-back throws, and moves on afterwards", async () => {
    const clock = createVirtualClock({ startMs: 0 });
    const later = vi.fn();
    clock.setTimeout(() => {
      throw new Error("broken call-back");
    }, 10);
    clock.setTimeout(later, 20);

    await expect(clock.advance(30)).rejects.toThrow("broken call-back");
    expect(clock.now()).toBe(10);

    await clock.advance(10);
    expect(later).toHaveBeenCalledTimes(1);
  });

  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY])("refuses to advance by %s", async (ms) => {
    await expect(createVirtualClock().advance(ms)).rejects.toThrow(RangeError);
  });

  it("refuses to advance to the past", async () => {
    await expect(createVirtualClock({ startMs: 5 }).advanceTo(4)).rejects.toThrow(
      "a clock at 5 ms cannot advance to 4 ms",
    );
  });

  it("refuses to jump nowhere", () => {
    expect(() => createVirtualClock().jump(Number.NaN)).toThrow(RangeError);
  });

  it("says so when time cannot move because timers set each other without a delay", async () => {
    const clock = createVirtualClock();
    const again = () => {
      clock.setTimeout(again, 0);
    };
    again();

    await expect(clock.advance(1)).rejects.toThrow("something sets one without a delay again and again");
  });

  it("says so when time cannot move because of setImmediate", async () => {
    const clock = createVirtualClock();
    let over = false;
    const again = () => {
      if (!over) {
        clock.setImmediate(again);
      }
    };
    again();

    await expect(clock.advance(1)).rejects.toThrow("time cannot move");
    over = true;
  });

  it("says so when it never becomes idle", async () => {
    const clock = createVirtualClock();
    const again = () => {
      clock.setTimeout(again, 1000);
    };
    again();

    await expect(clock.runUntilIdle()).rejects.toThrow("something sets one again and again");
  });
});
