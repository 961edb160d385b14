import { type Bucket, histogramQuantile } from "../series/histogram-quantile.ts";
import type { LabelTest } from "../series/matcher.ts";
import { stretchedIncrease } from "../series/rise.ts";
import { type Labels, type Series, seriesKey } from "../series/series.ts";
import type { Rule, RuleQuery, Statistic } from "./rule.ts";

export type SourceSeries = Pick<Series, "labels" | "read" | "rise">;

/** Where the samples are. */
export interface SeriesSource {
  select(name: string | undefined, test: LabelTest): readonly SourceSeries[];
}

/** The number of one group of series. */
export interface GroupValue {
  readonly labels: Labels;
  readonly value: number;
}

/** How old the latest sample may be (Prometheus: five minutes). */
const lookbackMs = 5 * 60_000;

/** What comes of a rule at a time, by the key of the labels of its groups. */
export interface Evaluation {
  readonly values: ReadonlyMap<string, GroupValue>;
  /** Groups for which the expression has no value, and why. */
  readonly errors: ReadonlyMap<string, unknown>;
  /** Why there is nothing at all. */
  readonly failure?: { readonly error: unknown };
}

const noErrors: Evaluation["errors"] = new Map();

/**
 * The numbers of a rule at a time: as PromQL would have them for `retake rules export`. An expression has one wherever all
 * its queries have one.
 */
export function evaluateRule(rule: Rule, source: SeriesSource, nowMs: number): Evaluation {
  try {
    return numbersOf(rule, source, nowMs);
  } catch (error) {
    return { values: new Map(), errors: noErrors, failure: { error } };
  }
}

function numbersOf(rule: Rule, source: SeriesSource, nowMs: number): Evaluation {
  const counted = new Map<string, BucketGroups>();
  const [first, ...others] = Array.from(rule.queries, ([name, query]) => ({
    name,
    found: evaluateQuery(query, source, nowMs, counted),
  }));
  if (first === undefined) return { values: new Map(), errors: noErrors };
  const { expression } = rule;
  if (expression === undefined) return { values: first.found, errors: noErrors };
  const errors = new Map<string, unknown>();
  const values = new Map<string, GroupValue>();
  for (const [key, { labels, value }] of first.found) {
    const bindings: Record<string, number> = { [first.name]: value };
    for (const { name, found } of others) {
      const other = found.get(key);
      if (other !== undefined) bindings[name] = other.value;
    }
    if (Object.keys(bindings).length < rule.queries.size) continue;
    try {
      values.set(key, { labels, value: Number(expression.evaluate(bindings)) });
    } catch (error) {
      errors.set(key, error);
    }
  }
  return { values, errors };
}

/**
 * The number of each group that has one.
 *
 * @param counted what was counted for other queries at the same time: several quantiles may be of the same histograms
 */
export function evaluateQuery(
  query: RuleQuery,
  source: SeriesSource,
  nowMs: number,
  counted?: Map<string, BucketGroups>,
): Map<string, GroupValue> {
  const endMs = nowMs - query.offsetMs;
  if (typeof query.statistic !== "object") return grouped(query, source, endMs);
  if (counted === undefined) return quantiles(query, query.statistic.quantile, bucketGroups(query, source, endMs));
  const { metric, matchers, windowMs, offsetMs, groupBy } = query;
  const key = JSON.stringify([metric, matchers, windowMs, offsetMs, groupBy]);
  const groups = counted.get(key) ?? bucketGroups(query, source, endMs);
  counted.set(key, groups);
  return quantiles(query, query.statistic.quantile, groups);
}

interface Sum {
  readonly labels: Labels;
  total: number;
  samples: number;
  series: number;
}

function grouped(query: RuleQuery, source: SeriesSource, nowMs: number): Map<string, GroupValue> {
  const { statistic, groupBy } = query;
  const sums = new Map<string, Sum>();
  for (const series of source.select(query.metric, query.test)) {
    const value = numberOf(query, statistic as Exclude<Statistic, object>, series, nowMs);
    if (value === undefined) continue;
    const samples = query.minCount > 0 ? weightOf(query, series, nowMs) : 0;
    const labels = groupBy === undefined ? series.labels : picked(series.labels, groupBy);
    const key = seriesKey("", labels);
    const sum = sums.get(key);
    if (sum === undefined) {
      sums.set(key, { labels, total: value, samples, series: 1 });
    } else {
      sum.total = combined(statistic, sum.total, value);
      sum.samples += samples;
      sum.series++;
    }
  }
  const values = new Map<string, GroupValue>();
  for (const [key, { labels, total, samples, series }] of sums) {
    if (query.minCount > 0 && samples < query.minCount) continue;
    values.set(key, { labels, value: statistic === "avg" ? total / series : total });
  }
  return values;
}

function valuesOf(series: SourceSeries, nowMs: number, windowMs: number): number[] {
  const values: number[] = [];
  series.read(nowMs - windowMs, nowMs, (_, value) => values.push(value));
  return values;
}

/** Rules with windows of hours and days are worked out each time too: not from every sample that these hold. */
function increaseOf(series: SourceSeries, nowMs: number, windowMs: number): number | undefined {
  const window = { afterMs: nowMs - windowMs, untilMs: nowMs };
  const rise = series.rise(window.afterMs, window.untilMs);
  return rise && stretchedIncrease(rise, window);
}

function numberOf(
  { windowMs }: RuleQuery,
  statistic: Exclude<Statistic, object>,
  series: SourceSeries,
  nowMs: number,
): number | undefined {
  if (statistic === "increase") return increaseOf(series, nowMs, windowMs);
  if (statistic === "rate") {
    const increase = increaseOf(series, nowMs, windowMs);
    return increase === undefined ? undefined : increase / (windowMs / 1_000);
  }
  const values = valuesOf(series, nowMs, statistic === "latest" ? lookbackMs : windowMs);
  if (values.length === 0) return undefined;
  switch (statistic) {
    case "latest":
      return values.at(-1);
    case "count":
      return values.length;
    case "min":
      return values.reduce((a, b) => (b < a || Number.isNaN(a) ? b : a));
    case "max":
      return values.reduce((a, b) => (b > a || Number.isNaN(a) ? b : a));
    case "sum":
      return values.reduce((a, b) => a + b, 0);
    case "avg":
      return values.reduce((a, b) => a + b, 0) / values.length;
  }
}

/** What `minCount` counts. */
function weightOf({ statistic, windowMs }: RuleQuery, series: SourceSeries, nowMs: number): number {
  if (statistic === "rate" || statistic === "increase") return increaseOf(series, nowMs, windowMs) ?? 0;
  return valuesOf(series, nowMs, windowMs).length;
}

function combined(statistic: Statistic, a: number, b: number): number {
  switch (statistic) {
    case "min":
      return b < a || Number.isNaN(a) ? b : a;
    case "max":
      return b > a || Number.isNaN(a) ? b : a;
    default:
      return a + b;
  }
}

/** What has happened in a window, by bucket. */
type BucketGroups = ReadonlyMap<string, { readonly labels: Labels; readonly counts: ReadonlyMap<string, number> }>;

function bucketGroups(query: RuleQuery, source: SeriesSource, nowMs: number): BucketGroups {
  const groups = new Map<string, { readonly labels: Labels; readonly counts: Map<string, number> }>();
  for (const series of source.select(`${query.metric}_bucket`, query.test)) {
    const increase = increaseOf(series, nowMs, query.windowMs);
    if (increase === undefined) continue;
    const { le = "", ...own } = series.labels;
    const labels = query.groupBy === undefined ? own : picked(own, query.groupBy);
    const key = seriesKey("", labels);
    const group = groups.get(key) ?? { labels, counts: new Map() };
    groups.set(key, group);
    group.counts.set(le, (group.counts.get(le) ?? 0) + increase);
  }
  return groups;
}

function quantiles(query: RuleQuery, quantile: number, groups: BucketGroups): Map<string, GroupValue> {
  const values = new Map<string, GroupValue>();
  for (const [key, { labels, counts }] of groups) {
    const buckets = Array.from(counts, ([le, count]): Bucket => ({ upperBound: boundOf(le), count }));
    const all = counts.get("+Inf") ?? 0;
    if (query.minCount > 0 && all < query.minCount) continue;
    values.set(key, { labels, value: histogramQuantile(quantile, buckets) });
  }
  return values;
}

function boundOf(le: string): number {
  return le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le);
}

function picked(labels: Labels, names: readonly string[]): Labels {
  const some: Record<string, string> = {};
  for (const name of names) {
    const value = labels[name];
    if (value !== undefined && value !== "") some[name] = value;
  }
  return some;
}
