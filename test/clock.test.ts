import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemClock, systemRandom } from "../src/clock.ts";

describe("systemClock", () => {
  it("shows the machine's time", () => {
    const before = Date.now();
    const now = systemClock.now();

    expect(now).toBeGreaterThanOrEqual(before);
    expect(now).toBeLessThanOrEqual(Date.now());
  });

  it("measures monotonic time in milliseconds with fractions", () => {
    const before = performance.now();
    const readings = Array.from({ length: 1000 }, () => systemClock.monotonic());
    const after = performance.now();

    expect(readings[0]).toBeGreaterThanOrEqual(before);
    expect(readings.at(-1)).toBeLessThanOrEqual(after);
    expect(readings.every((reading, index) => index === 0 || reading >= (readings[index - 1] ?? 0))).toBe(true);
    expect(readings.some((reading) => !Number.isInteger(reading))).toBe(true);
  });

  it("calls back after pending promise jobs when nothing else is due", async () => {
    const log: string[] = [];
    await new Promise<void>((resolve) => {
      systemClock.setImmediate(() => {
        log.push("first");
        void Promise.resolve().then(() => log.push("job of the first"));
      });
      systemClock.setImmediate(() => {
        log.push("second");
        resolve();
      });
      void Promise.resolve().then(() => log.push("job"));
    });

    expect(log).toEqual(["job", "first", "job of the first", "second"]);
  });

  it("never fires a timer early by the monotonic clock, fractions of a millisecond included", async () => {
    const earlyByMs: number[] = [];
    await Promise.all(
      Array.from({ length: 50 }, (_, index) => {
        const delayMs = 1 + index / 10;
        const dueMs = performance.now() + delayMs;
        return new Promise<void>((resolve) => {
          systemClock.setTimeout(() => {
            earlyByMs.push(dueMs - performance.now());
            resolve();
          }, delayMs);
        });
      }),
    );

    expect(earlyByMs.filter((ms) => ms > 0)).toEqual([]);
  });
});

describe("a timer of systemClock", () => {
  const dayMs = 24 * 60 * 60 * 1000;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  it("fires once, at its time", () => {
    const callback = vi.fn();
    systemClock.setTimeout(callback, 100);

    vi.advanceTimersByTime(99);
    expect(callback).not.toHaveBeenCalled();

    vi.advanceTimersByTime(1);
    expect(callback).toHaveBeenCalledTimes(1);

    vi.advanceTimersByTime(1000);
    expect(callback).toHaveBeenCalledTimes(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each([0, -5, Number.NEGATIVE_INFINITY, Number.NaN])("fires as soon as possible with a delay of %s", (delayMs) => {
    const callback = vi.fn();
    systemClock.setTimeout(callback, delayMs);
    expect(callback).not.toHaveBeenCalled();

    vi.advanceTimersByTime(1);
    expect(callback).toHaveBeenCalledTimes(1);
  });

  it("waits on when the platform wakes it too soon", () => {
    const callback = vi.fn();
    const early = vi.spyOn(performance, "now").mockReturnValue(0);
    systemClock.setTimeout(callback, 10);
    early.mockReturnValue(9.25);

    vi.advanceTimersByTime(10);
    expect(callback).not.toHaveBeenCalled();

    early.mockReturnValue(10.25);
    vi.advanceTimersByTime(1);
    expect(callback).toHaveBeenCalledTimes(1);
  });

  it("waits longer than the platform's timers can", () => {
    const callback = vi.fn();
    systemClock.setTimeout(callback, 60 * dayMs);

    vi.advanceTimersByTime(60 * dayMs - 1);
    expect(callback).not.toHaveBeenCalled();

    vi.advanceTimersByTime(1);
    expect(callback).toHaveBeenCalledTimes(1);
  });

  it("never fires with an infinite delay, and holds nothing", () => {
    const timer = systemClock.setTimeout(() => {}, Number.POSITIVE_INFINITY);

    expect(vi.getTimerCount()).toBe(0);
    timer.cancel();
  });

  it.each([
    ["before its time", 10],
    ["in a later leg of a long wait", 40 * dayMs],
  ])("is cancelled %s", (_, passedMs) => {
    const callback = vi.fn();
    const timer = systemClock.setTimeout(callback, 60 * dayMs);
    vi.advanceTimersByTime(passedMs);

    timer.cancel();

    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(60 * dayMs);
    expect(callback).not.toHaveBeenCalled();
  });

  it("may be cancelled after it has fired, and twice", () => {
    const callback = vi.fn();
    const timer = systemClock.setTimeout(callback, 1);
    vi.advanceTimersByTime(1);

    timer.cancel();
    timer.cancel();

    expect(callback).toHaveBeenCalledTimes(1);
  });
});

describe("systemRandom", () => {
  it("draws numbers from 0 to below 1", () => {
    const numbers = Array.from({ length: 1000 }, () => systemRandom.next());

    expect(numbers.every((number) => number >= 0 && number < 1)).toBe(true);
    expect(new Set(numbers).size).toBe(numbers.length);
  });

  it.each([0, 1, 16, 511, 512, 513, 4096, 5000, 70_000])("fills %i bytes, all of them and no others", (length) => {
    const around = new Uint8Array(length + 2);
    const everSet = new Uint8Array(length);
    // A byte stays 0 in all rounds with a chance of 2^-64.
    for (let round = 0; round < 8; round++) {
      const bytes = around.subarray(1, length + 1);
      systemRandom.fill(bytes);
      bytes.forEach((byte, index) => {
        everSet[index] = (everSet[index] ?? 0) | byte;
      });
    }

    expect(everSet.every((bits) => bits !== 0)).toBe(true);
    expect([around[0], around[length + 1]]).toEqual([0, 0]);
  });

  it("never gives the same bytes twice", () => {
    const drawn = Array.from({ length: 2000 }, () => {
      const bytes = new Uint8Array(16);
      systemRandom.fill(bytes);
      return Buffer.from(bytes).toString("hex");
    });

    expect(new Set(drawn).size).toBe(drawn.length);
  });
});
