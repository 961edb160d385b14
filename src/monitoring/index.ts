export { type Alert, type AlertChange, RuleAlerts, viewAlert } from "./alerts/alert.ts";
export { rulePromql } from "./alerts/promql.ts";
export type { Rule, RuleQuery, Severity, Statistic, Threshold } from "./alerts/rule.ts";
export type { LabelMatcher } from "./series/matcher.ts";
export { querySeries, type SeriesQuery, type SeriesResult } from "./series/query-series.ts";
export { type MetricDescription, SeriesCollector } from "./series/series-collector.ts";
export { noSeriesStorage, openSeriesStorage, type SeriesStorage } from "./series/series-storage.ts";
export { SeriesStore } from "./series/series-store.ts";
