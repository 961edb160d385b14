import type { LabelMatcher } from "./matcher.ts";
import { labelTest } from "./matcher.ts";
import { type Labels, type Series, seriesKey } from "./series.ts";
import type { MetricDescription } from "./series-collector.ts";
import type { SeriesStore } from "./series-store.ts";

/** What counts as one series: of a histogram, its counts, sum and buckets together. */
export interface SeriesGroup {
  /** The same for the same labels. */
  readonly key: string;
  readonly labels: Labels;
  readonly kind: MetricDescription["kind"];
  /** The number itself, or how many observations there were. */
  readonly main: Series;
  readonly sum?: Series | undefined;
  readonly buckets: readonly { readonly upperBound: number; readonly series: Series }[];
}

/**
 * The series of a metric whose labels are like that.
 *
 * @throws TypeError for a matcher that is no regular expression
 */
export function seriesGroups(
  store: Pick<SeriesStore, "select">,
  { name, kind }: Pick<MetricDescription, "name" | "kind">,
  matchers: readonly LabelMatcher[],
): readonly SeriesGroup[] {
  const test = labelTest(matchers);
  const keyOf = ({ labels }: { readonly labels: Labels }): string => seriesKey("", labels);
  const isHistogram = kind === "histogram";
  const sums = new Map(isHistogram ? store.select(`${name}_sum`, test).map((series) => [keyOf(series), series]) : []);
  const buckets = Map.groupBy(
    isHistogram
      ? store.select(`${name}_bucket`, test).map((series) => {
          const { le = "", ...labels } = series.labels;
          const upperBound = le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le);
          return { key: keyOf({ labels }), upperBound, series };
        })
      : [],
    ({ key }) => key,
  );
  return store.select(isHistogram ? `${name}_count` : name, test).map((main) => {
    const key = keyOf(main);
    return { key, labels: main.labels, kind, main, sum: sums.get(key), buckets: buckets.get(key) ?? [] };
  });
}
