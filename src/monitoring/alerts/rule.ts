import type { Quality } from "../../../gen/retake/v1/options_pb.js";
import type { LabelMatcher, LabelTest } from "../series/matcher.ts";
import { levels } from "../series/resolutions.ts";

/** An expression in CEL, compiled, with the text that it was compiled from. */
export interface RuleExpression {
  readonly source: string;
  /** @throws Error when it has no value for these */
  evaluate(bindings: Readonly<Record<string, number>>): unknown;
}

/** What is made of the samples of a window. */
export type Statistic =
  | "latest"
  | "avg"
  | "min"
  | "max"
  | "sum"
  | "count"
  | "rate"
  | "increase"
  | { readonly quantile: number };

/** A number for each group of series. */
export interface RuleQuery {
  /** As in Prometheus; for a quantile, of the histogram without `_bucket`. */
  readonly metric: string;
  readonly matchers: readonly LabelMatcher[];
  readonly test: LabelTest;
  readonly statistic: Statistic;
  /** How far back samples count; for the latest one, five minutes as in Prometheus, whatever this says. */
  readonly windowMs: number;
  /** How long ago that ended. */
  readonly offsetMs: number;
  /** The labels that make a group; series that agree in them are put together. Absent: each series by itself. */
  readonly groupBy?: readonly string[];
  /** With fewer samples in the window (for `rate`, `increase` and quantiles: with a smaller increase) there is no number. 0 for any. */
  readonly minCount: number;
}

/** From where on it is too much, and from where on it is well again. */
export interface Threshold {
  readonly at: number;
  readonly clear: number;
}

export type Severity = "warning" | "critical";

/** What a rule does where there is no number, or where it cannot be worked out. */
export type AbsencePolicy = "ok" | "alert" | "keep";

/** A rule, checked and with every default filled in. */
export interface Rule {
  readonly name: string;
  readonly queries: ReadonlyMap<string, RuleQuery>;
  /** Over the names of the queries, to a number. Absent where there is one query, whose number counts. */
  readonly expression?: RuleExpression;
  readonly comparison: "above" | "below";
  readonly thresholds: Readonly<Partial<Record<Severity, Threshold>>>;
  readonly forMs: number;
  readonly keepFiringForMs: number;
  readonly noData: AbsencePolicy;
  readonly onError: AbsencePolicy;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Which workflow's quality its alerts lower, and how far. */
  readonly lowerQuality?: RuleQuality;
}

/** How the alerts of a rule lower the quality of a workflow. */
export interface RuleQuality {
  /** Empty for the one that the label names. */
  readonly workflow: string;
  readonly label: string;
  /** The level below which they do not lower; UNSPECIFIED for the workflow's own. */
  readonly level: Quality;
}

/** Whether the samples that came are not all in memory: minutes tell of a counter then, and of nothing else. */
export function looksFarBack(query: Pick<RuleQuery, "windowMs" | "offsetMs">): boolean {
  return lookedBackMs(query) > levels.raw.keptMs;
}

/** How long ago that was which a query looks at first. */
export function lookedBackMs({ windowMs, offsetMs }: Pick<RuleQuery, "windowMs" | "offsetMs">): number {
  return windowMs + offsetMs;
}

export const severities: readonly Severity[] = ["warning", "critical"];
