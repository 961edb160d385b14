import { describe, expect, it } from "vitest";
import type { Labels } from "../../../src/monitoring/series/series.ts";
import { noSeriesStorage } from "../../../src/monitoring/series/series-storage.ts";
import { SeriesStore } from "../../../src/monitoring/series/series-store.ts";
import { ServerFigures } from "../../../src/monitoring/status/server-figures.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";

const startMs = 1_800_000_000_000;
const step = 10_000;
const film: Labels = { retake_workflow: "film" };
const failed: Labels = { ...film, retake_run_state: "FAILED" };

async function setUp() {
  const clock = createVirtualClock({ startMs });
  const store = await SeriesStore.open({ clock, log: silentLogger, storage: noSeriesStorage });
  return {
    store,
    /** A value at each step from one on; what is absent has no sample then. */
    put(
      name: string,
      labels: Labels,
      values: readonly (number | undefined)[],
      kind: "gauge" | "counter" = "counter",
      fromStep = 0,
    ) {
      const series = store.series(name, labels, kind);
      for (const [i, value] of values.entries()) {
        if (series !== undefined && value !== undefined) store.append(series, startMs + (fromStep + i) * step, value);
      }
    },
    at: (atStep: number) => new ServerFigures(store, startMs + atStep * step),
  };
}

describe("ServerFigures", () => {
  it("count all that a series has with its first sample", async () => {
    const { put, at } = await setUp();
    put("retake_runs_ended_total", { ...film, retake_run_state: "SUCCEEDED" }, [2, 2, 5]);
    put("retake_runs_ended_total", failed, [undefined, undefined, 3]);
    expect(at(2).runs.get("film")).toMatchObject({ ended: 8, failed: 3 });
  });

  it("count the last five minutes alone, to the number", async () => {
    const { put, at } = await setUp();
    put(
      "retake_runs_ended_total",
      failed,
      Array.from({ length: 121 }, (_, i) => 7 * i),
    );
    expect(at(120).allRuns).toMatchObject({ ended: 210, failed: 210 });
    expect(at(151).allRuns.ended).toBe(0);
    expect(at(100).allRuns.ended).toBe(210);
  });

  it("go on over a time in which the server was away", async () => {
    const { put, at } = await setUp();
    put("retake_runs_ended_total", failed, [1, 4]);
    put("retake_runs_ended_total", failed, [4, 6], "counter", 300);
    expect(at(301).allRuns.ended).toBe(2);
  });

  it("tell nothing that has no sample any more", async () => {
    const { put, at } = await setUp();
    const queued = { ...film, retake_run_state: "QUEUED" };
    put("retake_run_oldest_age_seconds", queued, [10, 20], "gauge");
    put("retake_runs_open", queued, [1, 1], "gauge");
    expect(at(1).runs.get("film")).toMatchObject({ oldestQueuedSeconds: 20, open: new Map([["QUEUED", 1]]) });
    put("retake_runs_open", queued, [0], "gauge", 3);
    expect(at(3).runs.get("film")?.oldestQueuedSeconds).toBeUndefined();
    expect(at(3).runs.get("film")?.open.size).toBe(0);
  });

  it("tell how long runs took, of all and of each workflow", async () => {
    const { put, at } = await setUp();
    for (const [workflow, counts] of [
      ["film", [10, 10, 10]],
      ["song", [0, 10, 10]],
    ] as const) {
      for (const [i, le] of ["1", "2", "+Inf"].entries()) {
        put("retake_run_duration_seconds_bucket", { retake_workflow: workflow, le }, [counts[i]]);
      }
    }
    expect(at(0).times("film")).toEqual({ p50Seconds: 0.5, p95Seconds: 0.95, p99Seconds: 0.99 });
    expect(at(0).times("song")?.p50Seconds).toBe(1.5);
    expect(at(0).times()?.p50Seconds).toBe(1);
    expect(at(0).times("none")).toBeUndefined();
    expect(at(90).times()).toBeUndefined();
  });

  it.each([
    ["half an hour", 30, 0.95],
    // Of the hours before nearly all have ended fast, and more than a twentieth has not.
    ["two hours", 120, 0.5],
  ])("name the workflow that is slowest for what it usually takes, for %s by now", async (_, lastsMinutes, part) => {
    const { put, at } = await setUp();
    // Two in a minute.
    const minutes = 6 * 60;
    for (const workflow of ["film", "song"]) {
      for (const le of ["1", "20", "+Inf"]) {
        let count = 0;
        const values = Array.from({ length: 6 * minutes }, (_, i) => {
          const slow = workflow === "song" && i > 6 * (minutes - lastsMinutes);
          if (i % 3 === 0 && !(slow && le === "1")) count++;
          return count;
        });
        put("retake_run_duration_seconds_bucket", { retake_workflow: workflow, le }, values);
      }
    }
    const turn = async () => undefined;
    const slowest = await at(6 * minutes - 1).slowest(turn);
    expect(slowest).toMatchObject({ workflow: "song", part });
    expect(slowest?.seconds).toBeGreaterThan(10);
    expect(slowest?.usualSeconds).toBeLessThan(1);
    expect(await at(3).slowest(turn)).toBeUndefined();
  });
});
