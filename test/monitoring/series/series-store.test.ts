import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { type Labels, type Series, seriesKey } from "../../../src/monitoring/series/series.ts";
import {
  noSeriesStorage,
  openSeriesStorage,
  type SeriesStorage,
} from "../../../src/monitoring/series/series-storage.ts";
import { SeriesStore } from "../../../src/monitoring/series/series-store.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { createVirtualClock, type VirtualClock } from "../../../src/testing/virtual-clock.ts";

const hour = 3_600_000;
const start = Math.ceil(1_800_000_000_000 / hour) * hour;
const directories: string[] = [];

afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true });
});

async function path(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "retake-series-"));
  directories.push(directory);
  return join(directory, "series.sqlite");
}

function open(nowMs: number, storage: SeriesStorage = noSeriesStorage, maxSeries?: number): Promise<SeriesStore> {
  const clock = createVirtualClock({ startMs: nowMs });
  return SeriesStore.open({ clock, storage, log: silentLogger, ...(maxSeries !== undefined && { maxSeries }) });
}

function made(store: SeriesStore, name: string, kind: "gauge" | "counter" = "gauge", labels: Labels = {}): Series {
  const series = store.series(name, labels, kind);
  if (series === undefined) throw new Error("there is no room");
  return series;
}

function samplesOf(
  series: Series,
  afterMs = Number.NEGATIVE_INFINITY,
  untilMs = Number.POSITIVE_INFINITY,
): [number, number][] {
  const found: [number, number][] = [];
  series.read(afterMs, untilMs, (timeMs, value) => found.push([timeMs, value]));
  return found;
}

/** As long as there are values, one for each series every ten seconds. */
function fill(
  store: SeriesStore,
  fromMs: number,
  count: number,
  ...all: readonly (readonly [Series, (i: number) => number])[]
): void {
  for (let i = 0; i < count; i++) {
    const timeMs = fromMs + i * 10_000;
    store.advance(timeMs);
    for (const [series, value] of all) store.append(series, timeMs, value(i));
  }
}

/** As a collector does that has nothing to tell of these series. */
async function passHours(clock: VirtualClock, store: SeriesStore, hours: number): Promise<void> {
  for (let i = 0; i < hours; i++) {
    clock.jump(hour);
    store.advance(clock.now());
    await store.prune();
  }
}

describe("SeriesStore", () => {
  it("lets a counter go on where it was, however long it was silent", async () => {
    const file = await path();
    const first = await open(start, openSeriesStorage(file));
    fill(first, start, 100, [made(first, "done_total", "counter"), (i) => i]);
    await first.close();
    const later = await open(start + 30 * hour, openSeriesStorage(file));
    const series = made(later, "done_total", "counter");
    later.append(series, start + 30 * hour, 1);
    later.append(series, start + 30 * hour + 10_000, 3);
    expect(samplesOf(series).map(([, value]) => value)).toEqual([100, 102]);
    // Also what the first had left unfinished is summed up.
    const minutes = await later.aggregates(series, "minute", 0, start + 29 * hour);
    expect(minutes.at(-1)).toMatchObject({ timeMs: start + 17 * 60_000, last: 99 });
    await later.close();
  });

  it("gives back what any window holds, open at its beginning", async () => {
    const store = await open(start);
    const series = made(store, "m");
    fill(store, start, 900, [series, (i) => i]);
    fc.assert(
      fc.property(fc.integer({ min: -10, max: 910 }), fc.integer({ min: -10, max: 910 }), (after, until) => {
        const found = samplesOf(series, start + after * 10_000, start + until * 10_000).map(([, value]) => value);
        const expected = Array.from({ length: 900 }, (_, i) => i).filter((i) => i > after && i <= until);
        expect(found).toEqual(expected);
      }),
    );
  });

  it("leaves out samples that are not newer than the last", async () => {
    const store = await open(start);
    const series = made(store, "m");
    for (const [timeMs, value] of [
      [10, 1],
      [10, 2],
      [5, 3],
      [20, 4],
    ] as const) {
      store.append(series, start + timeMs, value);
    }
    expect(samplesOf(series)).toEqual([
      [start + 10, 1],
      [start + 20, 4],
    ]);
  });

  it("forgets in memory what is older than six hours", async () => {
    const store = await open(start);
    const series = made(store, "m");
    fill(store, start, 9 * 360, [series, (i) => i]);
    expect(series.firstMs).toBeGreaterThanOrEqual(start + 2 * hour);
    expect(series.firstMs).toBeLessThanOrEqual(start + 3 * hour);
  });

  it("has one series for labels in any order, and no more series than it may", async () => {
    const store = await open(start, noSeriesStorage, 2);
    expect(made(store, "m", "gauge", { a: "1", b: "2" })).toBe(made(store, "m", "gauge", { b: "2", a: "1" }));
    made(store, "m", "gauge", { a: "2" });
    expect(store.series("m", { a: "3" }, "gauge")).toBeUndefined();
    expect([store.size, store.room]).toEqual([2, 0]);
    expect(seriesKey("m", { a: "1", b: "2" })).not.toBe(seriesKey("m", { a: "1\u0000b\u00002" }));
  });

  it("gives the place of what has had no sample for long to others, and remembers as many as may be there", async () => {
    const forgotten: (readonly number[])[] = [];
    const storage: SeriesStorage = { ...noSeriesStorage, forget: async (ids) => void forgotten.push(ids) };
    const clock = createVirtualClock({ startMs: start });
    const store = await SeriesStore.open({ clock, storage, log: silentLogger, maxSeries: 2 });
    const old = made(store, "old", "counter");
    fill(store, start, 3, [old, (i) => i], [made(store, "older"), (i) => i]);
    expect(store.together([{ name: "new", labels: {}, kind: "gauge" }])).toBeUndefined();
    await passHours(clock, store, 1);
    expect(store.room).toBe(0);

    await passHours(clock, store, 7);
    const wanted = ["new", "newer", "newest"].map((name) => ({ name, labels: {}, kind: "gauge" as const }));
    expect([store.room, store.together(wanted), store.together(wanted.slice(0, 2), 1)]).toEqual([
      2,
      undefined,
      undefined,
    ]);
    const [first, second] = store.together(wanted.slice(0, 2)) ?? [];
    expect([store.names(), store.room]).toEqual([["new", "newer", "old", "older"], 0]);
    expect(store.series("old", {}, "counter")).toBeUndefined();

    fill(store, start + 8 * hour, 1, [first as Series, (i) => i], [second as Series, (i) => i]);
    await passHours(clock, store, 8);
    expect([store.room, forgotten, store.names()]).toEqual([2, [[1, 2]], ["new", "newer"]]);
  });

  it("lets what was silent for long go on where it was", async () => {
    const clock = createVirtualClock({ startMs: start });
    const store = await SeriesStore.open({ clock, storage: noSeriesStorage, log: silentLogger, maxSeries: 1 });
    const old = made(store, "old", "counter");
    fill(store, start, 3, [old, (i) => i]);
    await passHours(clock, store, 8);
    expect(store.room).toBe(1);
    expect(made(store, "old", "counter")).toBe(old);
    store.append(old, start + 8 * hour, 1);
    expect([old.lastValue, store.room]).toEqual([3, 0]);
  });

  it("reads what an earlier process has left a part at a time", async () => {
    const file = await path();
    const before = await open(start, openSeriesStorage(file));
    const all = Array.from({ length: 600 }, (_, i) => [made(before, `m${i}`, "counter"), () => i] as const);
    fill(before, start, 3, ...all);
    await before.close();
    const stored = openSeriesStorage(file);
    const parts: number[] = [];
    const storage: SeriesStorage = {
      ...stored,
      async load(...args) {
        const part = await stored.load(...args);
        parts.push(part.series.length);
        return part;
      },
    };
    const after = await open(start + 60_000, storage);
    expect([parts, after.size]).toEqual([[250, 250, 100], 600]);
    expect(after.names().every((name) => samplesOf(made(after, name, "counter")).length === 3)).toBe(true);
    await after.close();
    const later = await open(start + 30 * hour, openSeriesStorage(file), 600);
    expect([later.size, later.room]).toEqual([600, 600]);
    const last = made(later, "m599", "counter");
    later.append(last, start + 30 * hour, 1);
    expect(last.lastValue).toBe(600);
    await later.close();
  });

  it("goes on after a restart, counters without a fall", async () => {
    const file = await path();
    const before = await open(start, openSeriesStorage(file));
    const labels = { workflow: "a/B", state: "SUCCEEDED" };
    const runs = made(before, "runs_total", "counter", labels);
    fill(before, start, 500, [runs, (i) => i], [made(before, "depth"), (i) => i % 7]);
    await before.close();
    expect((await stat(file)).mode & 0o777).toBe(0o600);

    const restartMs = start + 5_000_000;
    const after = await open(restartMs, openSeriesStorage(file));
    const counter = made(after, "runs_total", "counter", labels);
    expect(samplesOf(counter)).toHaveLength(500);
    fill(after, restartMs, 3, [counter, (i) => i]);
    expect(
      samplesOf(counter)
        .slice(-4)
        .map(([, value]) => value),
    ).toEqual([499, 499, 500, 501]);
    expect(samplesOf(made(after, "depth")).map(([, value]) => value)).toEqual(
      Array.from({ length: 500 }, (_, i) => i % 7),
    );
    await after.close();
  });

  it("knows after a restart right after a full hour what came before that hour", async () => {
    const file = await path();
    const before = await open(start, openSeriesStorage(file));
    fill(before, start + 10_000, 2 * 360 + 6, [made(before, "runs_total", "counter"), (i) => i]);
    await before.close();
    const nowMs = start + 2 * hour + 60_000;
    const after = await open(nowMs, openSeriesStorage(file));
    const counter = made(after, "runs_total", "counter");
    expect(samplesOf(counter)).toHaveLength(726);
    expect(samplesOf(counter, nowMs - hour)).toHaveLength(360);
    expect(samplesOf(counter, nowMs - 60_000)).toHaveLength(6);
    expect(counter.rise(nowMs - hour, nowMs)).toMatchObject({ first: 366, last: 725, samples: 360 });
    await after.close();
  });

  it("keeps coarser samples of what is older, by minute and by ten", async () => {
    const file = await path();
    const store = await open(start, openSeriesStorage(file));
    const gauge = made(store, "depth");
    const counter = made(store, "runs_total", "counter");
    fill(store, start + 10_000, 3 * 360, [gauge, (i) => i], [counter, (i) => i]);
    await store.flush();

    const minutes = await store.aggregates(gauge, "minute", start, start + hour);
    expect(minutes).toHaveLength(60);
    expect(minutes[1]).toEqual({ timeMs: start + 120_000, count: 6, sum: 51, min: 6, max: 11, last: 11 });
    const tens = await store.aggregates(gauge, "ten_minutes", start, start + 2 * hour);
    expect(tens).toHaveLength(12);
    expect(tens[0]).toEqual({ timeMs: start + 600_000, count: 60, sum: 1_770, min: 0, max: 59, last: 59 });
    expect((await store.aggregates(counter, "minute", start, start + hour))[0]).toMatchObject({ last: 5 });
    await store.close();
  });

  it("forgets on disk what its resolution is not kept for, and series that have nothing left", async () => {
    const file = await path();
    const before = await open(start, openSeriesStorage(file));
    fill(before, start, 10, [made(before, "old"), (i) => i]);
    await before.prune();
    await before.close();

    const after = await open(start + 200 * 24 * hour, openSeriesStorage(file));
    expect(after.names()).toEqual(["old"]);
    await after.prune();
    expect(after.names()).toEqual([]);
    await after.close();
    const again = await open(start, openSeriesStorage(file));
    expect(again.size).toBe(0);
    await again.close();
  });

  it("drops samples of times to come when the clock is set back", async () => {
    const file = await path();
    const store = await open(start, openSeriesStorage(file));
    const series = made(store, "m");
    fill(store, start, 800, [series, (i) => i]);
    await store.flush();
    store.advance(start + 100_000);
    expect(series.lastMs).toBe(start + 100_000);
    store.append(series, start + 110_000, 7);
    expect(samplesOf(series).slice(-2)).toEqual([
      [start + 100_000, 10],
      [start + 110_000, 7],
    ]);
    await store.close();

    const again = await open(start + hour, openSeriesStorage(file));
    expect(samplesOf(made(again, "m")).at(-1)).toEqual([start + 110_000, 7]);
    await again.close();
  });

  it("goes on in memory when nothing can be stored, and stores it all later", async () => {
    let broken = true;
    const written: number[] = [];
    const storage: SeriesStorage = {
      ...noSeriesStorage,
      write: async (_, chunks) => {
        if (broken) throw new Error("the disk is full");
        written.push(...chunks.map(({ samples }) => samples));
      },
    };
    const store = await open(start, storage);
    const series = made(store, "m");
    fill(store, start + 10_000, 400, [series, (i) => i]);
    await store.flush();
    expect(samplesOf(series)).toHaveLength(400);
    broken = false;
    await store.flush();
    expect(written).toEqual([360, 40]);
  });

  it("stores what the full hour has ended a part at a time, and loses nothing of it", async () => {
    const written: { chunks: number; closed: number }[] = [];
    const kept = new Map<number, number>();
    const storage: SeriesStorage = {
      ...noSeriesStorage,
      write: async (_, chunks) => {
        written.push({ chunks: chunks.length, closed: chunks.filter(({ closed }) => closed).length });
        for (const { series, samples, closed } of chunks) if (closed) kept.set(series, samples);
      },
    };
    const store = await open(start, storage);
    const all = Array.from({ length: 2_500 }, (_, i) => [made(store, `m${i}`), () => i] as const);
    fill(store, start + 3_590_000, 3, ...all);
    const flushed = async (): Promise<number> => {
      written.length = 0;
      await store.flush();
      return written.reduce((sum, { closed }) => sum + closed, 0);
    };
    expect([await flushed(), await flushed()]).toEqual([1_000, 1_000]);
    expect(Math.max(...written.map(({ closed }) => closed))).toBe(100);
    await store.close();
    expect(kept.size).toBe(2_500);
    expect(new Set(kept.values())).toEqual(new Set([2]));
  });
});

describe("a storage that does not answer", () => {
  const never = (): Promise<never> => new Promise(() => {});

  it("holds up who opens a store for half a minute, and is written to by the next one only", async () => {
    const clock = createVirtualClock({ startMs: start });
    const asked: string[] = [];
    const storage: SeriesStorage = {
      ...noSeriesStorage,
      load: never,
      write: async () => void asked.push("write"),
      close: async () => void asked.push("close"),
    };
    const opening = SeriesStore.open({ clock, storage, log: silentLogger });
    await clock.advance(30_000);
    const store = await opening;
    const series = made(store, "runs_total", "counter");
    store.advance(clock.now());
    store.append(series, clock.now(), 1);
    await store.flush();
    expect(samplesOf(series)).toEqual([[start + 30_000, 1]]);
    await store.close();
    // Under the number of the new series it may hold another one's samples.
    expect(asked).toEqual(["close"]);
  });

  it("holds up who looks far back for half a minute", async () => {
    const clock = createVirtualClock({ startMs: start });
    const store = await SeriesStore.open({
      clock,
      storage: { ...noSeriesStorage, aggregates: never },
      log: silentLogger,
    });
    const series = made(store, "runs_total", "counter");
    store.advance(clock.now());
    store.append(series, clock.now(), 1);
    const keeping = store.keepPast([{ name: "runs_total", test: () => true, windowMs: 72 * hour }]);
    await clock.advance(30_000);
    await keeping;
    expect(samplesOf(series)).toEqual([[start, 1]]);
  });
});
