import { GroupSamples, type Quantiles } from "./group-samples.ts";
import type { LabelMatcher } from "./matcher.ts";
import type { Labels } from "./series.ts";
import type { MetricDescription } from "./series-collector.ts";
import { seriesGroups } from "./series-groups.ts";
import type { SeriesStore } from "./series-store.ts";
import type { Samples, WindowStatistics } from "./statistics.ts";

export interface SeriesQuery {
  readonly metric: Pick<MetricDescription, "name" | "kind">;
  readonly matchers: readonly LabelMatcher[];
  /** Open at its beginning. */
  readonly afterMs: number;
  readonly untilMs: number;
}

/** One of the series that a query finds, with what its window holds. */
export interface SeriesResult {
  readonly labels: Labels;
  readonly samples: Samples;
  readonly statistics: WindowStatistics;
  /** Of a histogram: values below which that part of the window's observations lies. */
  readonly quantiles?: Quantiles;
}

/**
 * What the series of a metric held in a window: from memory as they came, where that reaches back far enough, else summed
 * up by minute or by ten minutes. The samples of a histogram are how many observations there were by then.
 *
 * @throws TypeError for a matcher that is no regular expression
 */
export async function querySeries(store: SeriesStore, nowMs: number, query: SeriesQuery): Promise<SeriesResult[]> {
  const found: SeriesResult[] = [];
  for (const group of seriesGroups(store, query.metric, query.matchers)) {
    const read = await GroupSamples.read(store, nowMs, group, query);
    const { quantiles, ...statistics } = read.statistics(query);
    found.push({ labels: group.labels, samples: read.samples, statistics, ...(quantiles && { quantiles }) });
  }
  return found;
}
