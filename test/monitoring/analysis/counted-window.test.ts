import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CountedWindow } from "../../../src/monitoring/analysis/counted-window.ts";
import { StepReader } from "../../../src/monitoring/analysis/step-reader.ts";
import { stepGrid } from "../../../src/monitoring/analysis/steps.ts";
import {
  noSeriesStorage,
  openSeriesStorage,
  type SeriesStorage,
} from "../../../src/monitoring/series/series-storage.ts";
import { SeriesStore } from "../../../src/monitoring/series/series-store.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { createSeededRandom } from "../../../src/testing/seeded-random.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";

const hour = 3_600_000;
const day = 24 * hour;
const start = Math.ceil(1_800_000_000_000 / day) * day;
const breathe = async (): Promise<void> => undefined;

/** What a server had counted, of which process after process has kept samples. */
class Counting {
  readonly happened: number[] = [];
  readonly #clock = createVirtualClock({ startMs: start });
  readonly #storage: () => SeriesStorage;
  readonly #random = createSeededRandom(5);
  store!: SeriesStore;
  #own = 0;

  constructor(storage: () => SeriesStorage) {
    this.#storage = storage;
  }

  get nowMs(): number {
    return this.#clock.now();
  }

  /** Another process begins. */
  async begin(): Promise<void> {
    this.store = await SeriesStore.open({ clock: this.#clock, storage: this.#storage(), log: silentLogger });
    this.#own = 0;
  }

  /** As the collector does it.
   *
   * @param often how likely something happens in each step */
  async work(forMs: number, stepMs: number, often: number): Promise<void> {
    const byte = new Uint8Array(1);
    for (const endMs = this.nowMs + forMs; this.nowMs < endMs; ) {
      await this.#clock.advance(stepMs);
      this.#random.fill(byte);
      if ((byte[0] ?? 0) / 256 < often) {
        this.#own++;
        this.happened.push(this.nowMs - 1);
      }
      this.store.advance(this.nowMs);
      const up = this.store.series("retake_journal_available", {}, "gauge");
      if (up !== undefined) this.store.append(up, this.nowMs, 1);
      // As instruments do it: nothing is told of what has not happened in this process.
      const series = this.#own === 0 ? undefined : this.store.series("done_total", { of: "work" }, "counter");
      if (series !== undefined) this.store.append(series, this.nowMs, this.#own);
      if (this.nowMs % hour === 0) await this.store.prune();
    }
  }

  async away(forMs: number): Promise<void> {
    await this.store.close();
    await this.#clock.advance(forMs);
  }

  window(ofMs: number): CountedWindow {
    return new CountedWindow(this.store, this.nowMs, { afterMs: this.nowMs - ofMs, untilMs: this.nowMs }, breathe);
  }

  truth({ afterMs, untilMs }: Pick<CountedWindow, "afterMs" | "untilMs">): number {
    return this.happened.filter((timeMs) => timeMs > afterMs && timeMs <= untilMs).length;
  }
}

describe("what is counted in a window", () => {
  let directory: string;
  let counting: Counting;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "retake-counted-"));
    counting = new Counting(() => openSeriesStorage(join(directory, "series.sqlite")));
    await counting.begin();
    await counting.work(9 * day, 600_000, 0.5);
    await counting.away(5 * hour);
    await counting.begin();
    await counting.work(20.4 * hour, 60_000, 0.3);
    // Longer than what is taken into memory.
    await counting.away(7.6 * hour);
    await counting.begin();
    // A long time in which nothing happens.
    await counting.work(3 * hour, 30_000, 0);
    await counting.away(hour / 2);
    await counting.begin();
    await counting.work(2 * hour, 10_000, 0.2);
  });
  afterAll(async () => {
    await counting.store.close();
    await rm(directory, { recursive: true });
  });

  it.each([0.2, 1, 2, 3, 5, 5.9, 7, 12, 26, 30, 100, 200, 240])(
    "is all that happened in it and nothing else: the last %d hours",
    async (hours) => {
      const window = counting.window(hours * hour);
      expect(window.untilMs - window.afterMs - hours * hour).toBeLessThan(600_000);
      expect(await window.sum("done_total")).toBe(counting.truth(window));
    },
  );

  it("is everything where the window is longer than what there is", async () => {
    expect(await counting.window(80 * day).sum("done_total")).toBe(counting.happened.length);
  });

  it.each([1, 6, 24, 9 * 24])("is the same in steps, of %d hours", async (hours) => {
    const nowMs = counting.nowMs;
    const grid = stepGrid({ afterMs: nowMs - hours * hour, untilMs: nowMs });
    const steps = (await new StepReader(counting.store, nowMs, grid, breathe).counter("done_total")).get("");
    const known = steps?.values.filter((value) => !Number.isNaN(value)) ?? [];
    const sum = known.reduce((total, value) => total + value, 0);
    const afterMs = grid.firstMs - grid.stepMs;
    const precision = hours > 6 ? 0.02 * counting.happened.length : 0;
    expect(Math.abs(sum - counting.truth({ afterMs, untilMs: nowMs }))).toBeLessThanOrEqual(precision);
    // Nothing has happened for three hours: that is known, and no gap.
    if (hours === 6) expect(known.filter((value) => value === 0).length).toBeGreaterThan((2.8 * hour) / grid.stepMs);
  });

  it("begins at 0 for a series that begins in it", async () => {
    const fresh = new Counting(() => noSeriesStorage);
    await fresh.begin();
    await fresh.work(hour, 10_000, 1);
    expect(await fresh.window(2 * hour).sum("done_total")).toBe(360);
    expect(await fresh.window(hour / 2).sum("done_total")).toBe(180);
  });
});
