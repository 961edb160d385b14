import { levels, resolutionFor } from "../series/resolutions.ts";
import type { Series } from "../series/series.ts";
import type { SeriesStore } from "../series/series-store.ts";

export type CounterSource = Pick<SeriesStore, "aggregates">;

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

/** What a counter had reached at a time: 0 before it began. To the minute, or the ten minutes, that are kept of that time. */
export async function counterAt(source: CounterSource, nowMs: number, series: Series, timeMs: number): Promise<number> {
  const { lastMs, lastValue, firstMs } = series;
  if (lastMs !== undefined && lastMs <= timeMs) return lastValue ?? 0;
  if (firstMs !== undefined && firstMs <= timeMs) {
    return lastRead(series, timeMs - 10 * minuteMs, timeMs) ?? lastRead(series, Number.NEGATIVE_INFINITY, timeMs) ?? 0;
  }
  const near =
    resolutionFor(timeMs, nowMs) === "ten_minutes"
      ? await source.aggregates(series, "ten_minutes", timeMs - dayMs, timeMs)
      : await source.aggregates(series, "minute", timeMs - 120 * minuteMs, timeMs);
  // A process has no samples of a counter until something happens to it: there may be none for long.
  const known =
    near.length > 0 ? near : await source.aggregates(series, "ten_minutes", timeMs - levels.ten_minutes.keptMs, timeMs);
  return known.at(-1)?.last ?? 0;
}

function lastRead(series: Series, afterMs: number, untilMs: number): number | undefined {
  let last: number | undefined;
  series.read(afterMs, untilMs, (_, value) => {
    last = value;
  });
  return last;
}
