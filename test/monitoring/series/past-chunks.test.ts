import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { stretchedIncrease } from "../../../src/monitoring/series/rise.ts";
import type { Series } from "../../../src/monitoring/series/series.ts";
import {
  noSeriesStorage,
  openSeriesStorage,
  type SeriesStorage,
} from "../../../src/monitoring/series/series-storage.ts";
import { SeriesStore } from "../../../src/monitoring/series/series-store.ts";
import { extrapolatedIncrease, type Samples } from "../../../src/monitoring/series/statistics.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { createSeededRandom } from "../../../src/testing/seeded-random.ts";
import { createVirtualClock, type VirtualClock } from "../../../src/testing/virtual-clock.ts";

const [second, minute, hour] = [1_000, 60_000, 3_600_000];
const day = 24 * hour;
const start = Math.ceil(1_800_000_000_000 / day) * day;

async function databasePath(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "retake-past-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  return join(directory, "series.sqlite");
}

/** A store that looks back three days at one counter, and every sample that it was given. */
class Counted {
  readonly all: { timesMs: number[]; values: number[] } = { timesMs: [], values: [] };
  readonly #random = createSeededRandom(3);
  #total = 0;

  async open(clock: VirtualClock, storage: SeriesStorage): Promise<{ store: SeriesStore; series: Series }> {
    const store = await SeriesStore.open({ clock, storage, log: silentLogger });
    await store.keepPast([{ name: "runs_total", test: () => true, windowMs: 3 * day }]);
    const series = store.series("runs_total", {}, "counter");
    if (series === undefined) throw new Error("there is no room");
    return { store, series };
  }

  /** Bursts and pauses of a process that counts from 0. */
  fill(store: SeriesStore, series: Series, clock: VirtualClock, untilMs: number): Promise<void> {
    const before = this.#total;
    const [fromMs, count] = [clock.now(), (untilMs - clock.now()) / (10 * second)];
    for (let i = 0; i < count; i++) {
      const timeMs = fromMs + i * 10 * second;
      const isBurst = Math.floor(timeMs / (7 * minute)) % 3 === 0;
      this.#total += Math.floor(this.#random.next() * (isBurst ? 50 : 2));
      store.advance(timeMs);
      store.append(series, timeMs, this.#total - before);
      this.all.timesMs.push(timeMs);
      this.all.values.push(this.#total);
    }
    return clock.advanceTo(untilMs);
  }

  /** By all samples. */
  increase(afterMs: number, untilMs: number): number | undefined {
    const within: Samples = {
      timesMs: this.all.timesMs.filter((timeMs) => timeMs > afterMs && timeMs <= untilMs),
      values: this.all.values.filter((_, i) => {
        const timeMs = this.all.timesMs[i] ?? 0;
        return timeMs > afterMs && timeMs <= untilMs;
      }),
    };
    return extrapolatedIncrease(within, { afterMs, untilMs });
  }
}

function increaseOf(series: Series, afterMs: number, untilMs: number): number | undefined {
  const rise = series.rise(afterMs, untilMs);
  return rise && stretchedIncrease(rise, { afterMs, untilMs });
}

describe("the rise of a counter", () => {
  it("is what all samples tell, also of a window that ended before the last of them", async () => {
    const clock = createVirtualClock({ startMs: start });
    const counted = new Counted();
    const { store, series } = await counted.open(clock, noSeriesStorage);
    await counted.fill(store, series, clock, start + 9.6 * hour);
    const nowMs = clock.now();
    const windows = [
      [5.4 * hour, 0.5 * hour],
      [4 * hour, 1.7 * hour],
      [2 * hour, 3 * hour],
      [20 * minute, 3 * hour],
      [5 * minute, minute],
      [minute, 25 * minute],
    ] as const;
    for (const [windowMs, offsetMs] of windows) {
      // On a sample, and between two of them.
      for (const untilMs of [nowMs - offsetMs, nowMs - offsetMs - 4 * second]) {
        const found = increaseOf(series, untilMs - windowMs, untilMs);
        expect(found).toBeGreaterThan(0);
        expect(found).toBeCloseTo(counted.increase(untilMs - windowMs, untilMs) ?? Number.NaN, 6);
      }
    }
  });
});

describe("the past of a counter", () => {
  it("tells of days what all samples would", async () => {
    const clock = createVirtualClock({ startMs: start });
    const counted = new Counted();
    const { store, series } = await counted.open(clock, noSeriesStorage);
    await counted.fill(store, series, clock, start + 4 * day);
    const untilMs = start + 4 * day - 10 * second;
    for (const windowMs of [5 * minute, 2 * hour, 6 * hour, day, 2 * day, 3 * day]) {
      // The sample that is a whole minute is the first in the window.
      const afterMs = Math.ceil((untilMs - windowMs) / minute) * minute - 5 * second;
      const exact = counted.increase(afterMs, untilMs) ?? Number.NaN;
      expect(increaseOf(series, afterMs, untilMs) ?? Number.NaN).toBeCloseTo(exact, 6);
      // Else nobody knows how it has risen within one minute.
      for (const moreMs of [12 * second, 25 * second, 41 * second]) {
        const beginMs = afterMs + moreMs;
        const near = counted.increase(beginMs, untilMs) ?? Number.NaN;
        expect(Math.abs((increaseOf(series, beginMs, untilMs) ?? Number.NaN) - near)).toBeLessThan(6 * 50);
      }
    }
    expect(series.past?.length).toBeLessThan(3 * 24);
  });

  it("takes a counter to rise evenly between two minutes, wherever a window begins", async () => {
    const clock = createVirtualClock({ startMs: start });
    const { store, series } = await new Counted().open(clock, noSeriesStorage);
    const untilMs = start + 2 * day;
    for (let timeMs = start; timeMs <= untilMs; timeMs += 10 * second) {
      store.advance(timeMs);
      store.append(series, timeMs, 100_000 + (timeMs - start) / second);
    }
    for (const moreMs of [0, 7, 10, 29, 30, 55].map((seconds) => seconds * second)) {
      const afterMs = untilMs - day - moreMs;
      expect(increaseOf(series, afterMs, untilMs) ?? Number.NaN).toBeCloseTo((untilMs - afterMs) / second, 6);
    }
  });

  it("survives restarts, after which counters begin with nothing, and long absences", async () => {
    const path = await databasePath();
    const clock = createVirtualClock({ startMs: start });
    const counted = new Counted();
    // In the middle of an hour, and away for longer than memory reaches back.
    for (const [untilMs, awayMs] of [
      [start + day + 25 * minute, 20 * second],
      [start + 2 * day + 53 * minute, 9 * hour],
      [start + 3 * day + 40 * minute, 0],
    ] as const) {
      const { store, series } = await counted.open(clock, openSeriesStorage(path));
      await counted.fill(store, series, clock, untilMs);
      const lastMs = untilMs - 10 * second;
      const afterMs = start + 6 * hour - 5 * second;
      const exact = counted.increase(afterMs, lastMs) ?? Number.NaN;
      // As many as the process had counted when it wrote for the first time are not known to have come after a restart.
      expect(Math.abs((increaseOf(series, afterMs, lastMs) ?? Number.NaN) - exact)).toBeLessThan(3 * 50);
      await store.close();
      await clock.advance(awayMs);
    }
  });

  it("is kept of counters alone that somebody looks at that far back, for as long as they do", async () => {
    const clock = createVirtualClock({ startMs: start });
    const counted = new Counted();
    const { store, series } = await counted.open(clock, noSeriesStorage);
    const other = store.series("others_total", {}, "counter") as Series;
    await counted.fill(store, series, clock, start + day);
    expect([series.past?.length, other.past]).toEqual([18, undefined]);
    await store.keepPast([]);
    expect(series.past).toBeUndefined();
  });

  it("is known in part, and that is told, where the storage does not answer", async () => {
    const clock = createVirtualClock({ startMs: start });
    const storage: SeriesStorage = {
      ...noSeriesStorage,
      load: async () => ({
        series: [{ id: 1, name: "runs_total", labels: {}, kind: "counter" }],
        chunks: [],
        reached: [],
      }),
      aggregates: () => Promise.reject(new Error("the disk is gone")),
    };
    const errors: string[] = [];
    const log = { ...silentLogger, error: (_: object, message: string) => errors.push(message) };
    const store = await SeriesStore.open({ clock, storage, log });
    await store.keepPast([{ name: "runs_total", test: () => true, windowMs: day }]);
    expect(errors).toHaveLength(1);
    expect(store.series("runs_total", {}, "counter")?.past).toEqual([]);
  });
});
