import { ownModule } from "../../own-files.ts";
import { WorkerCalls } from "../../worker-calls.ts";
import type { Resolution } from "./resolutions.ts";
import type { AggregateSample, SeriesDatabase, StoredChunk, StoredSeries, StoredState } from "./series-database.ts";

/** Where series survive a restart. */
export interface SeriesStorage {
  /** Series after a number, as many as that at most, with their samples as they came after a time. No series: no more. */
  load(afterMs: number, afterId: number, limit: number): Promise<StoredState>;
  write(series: readonly StoredSeries[], chunks: readonly StoredChunk[]): Promise<void>;
  aggregates(
    series: number,
    resolution: Exclude<Resolution, "raw">,
    afterMs: number,
    untilMs: number,
  ): Promise<readonly AggregateSample[]>;
  /** Forgets what is too old, and tells which series have nothing left. */
  prune(nowMs: number): Promise<readonly number[]>;
  /** Forgets series with all that they have. */
  forget(series: readonly number[]): Promise<void>;
  truncate(untilMs: number): Promise<void>;
  close(): Promise<void>;
}

/** SQLite in a thread of its own, because it waits for the disk. The file is made when there is something to write. */
export function openSeriesStorage(path: string): SeriesStorage {
  const thread = new WorkerCalls<SeriesDatabase>({
    url: ownModule("monitoring/series/series-worker"),
    name: "retake-series",
    data: { path },
  });
  return {
    load: (afterMs, afterId, limit) => thread.call("load", afterMs, afterId, limit),
    write: (series, chunks) => thread.call("write", series, chunks),
    aggregates: (series, resolution, afterMs, untilMs) =>
      thread.call("aggregates", series, resolution, afterMs, untilMs),
    prune: (nowMs) => thread.call("prune", nowMs),
    forget: (series) => thread.call("forget", series),
    truncate: (untilMs) => thread.call("truncate", untilMs),
    close: () => thread.close(),
  };
}

/** For those who keep nothing beyond the process. */
export const noSeriesStorage: SeriesStorage = {
  load: async () => ({ series: [], chunks: [], reached: [] }),
  write: async () => undefined,
  aggregates: async () => [],
  prune: async () => [],
  forget: async () => undefined,
  truncate: async () => undefined,
  close: async () => undefined,
};
