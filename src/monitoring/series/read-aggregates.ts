import { resolutionFor } from "./resolutions.ts";
import type { Series } from "./series.ts";
import type { AggregateSample } from "./series-database.ts";
import type { SeriesStore } from "./series-store.ts";

/** A time that is open at its beginning. */
export interface Window {
  readonly afterMs: number;
  readonly untilMs: number;
}

/**
 * The samples of a series: from memory as they came, each standing for itself, where that reaches back far enough, else summed
 * up by minute or by ten minutes.
 */
export async function readAggregates(
  store: SeriesStore,
  nowMs: number,
  series: Series,
  { afterMs, untilMs }: Window,
): Promise<readonly AggregateSample[]> {
  const resolution = resolutionFor(afterMs, nowMs);
  const found = resolution === "raw" ? [] : [...(await store.aggregates(series, resolution, afterMs, untilMs))];
  // What has not been summed up yet is still in memory.
  series.read(found.at(-1)?.timeMs ?? afterMs, untilMs, (timeMs, value) => {
    found.push({ timeMs, count: 1, sum: value, min: value, max: value, last: value });
  });
  return found;
}
