import { durationMs } from "@bufbuild/protobuf/wkt";
import {
  AlertAbsence,
  AlertComparison,
  type AlertQuery,
  type AlertRule,
  AlertStatistic,
  type AlertThreshold,
  type LabelMatcher as LabelMatcherMessage,
  MatcherOperator,
} from "../../../gen/retake/v1/alert_pb.js";
import { type LabelMatcher, labelTest } from "../series/matcher.ts";
import { type AbsencePolicy, looksFarBack, type Rule, type RuleQuery, type Statistic, type Threshold } from "./rule.ts";
import { compileRuleExpression } from "./rule-expression.ts";

const defaultWindowMs = 5 * 60_000;

const workflowLabel = "retake_workflow";

/**
 * A rule with every default filled in. Its message must have passed its own rules.
 *
 * @throws Error that says what makes no sense together, naming the part: an expression, a matcher
 */
export function resolveRule(message: AlertRule): Rule {
  const names = Object.keys(message.queries);
  const queries = new Map(names.map((name) => [name, resolveQuery(name, message.queries[name] as AlertQuery)]));
  const comparison = message.comparison === AlertComparison.BELOW ? "below" : "above";
  const warning = message.warning && resolveThreshold(message.warning, comparison, "warning");
  const critical = message.critical && resolveThreshold(message.critical, comparison, "critical");
  return {
    name: message.name,
    queries,
    ...(message.expression !== "" && {
      expression: compileRuleExpression(message.expression, names),
    }),
    comparison,
    thresholds: { ...(warning && { warning }), ...(critical && { critical }) },
    forMs: message.for ? durationMs(message.for) : 0,
    keepFiringForMs: message.keepFiringFor ? durationMs(message.keepFiringFor) : 0,
    noData: absence(message.noData),
    onError: absence(message.onError),
    labels: { ...message.labels },
    annotations: { ...message.annotations },
    ...(message.lowerQuality !== undefined && {
      lowerQuality: {
        workflow: message.lowerQuality.workflow,
        label: message.lowerQuality.label || workflowLabel,
        level: message.lowerQuality.level,
      },
    }),
  };
}

/** @throws TypeError for an expression that is none, naming the label */
export function resolveMatchers(messages: readonly LabelMatcherMessage[]): readonly LabelMatcher[] {
  return messages.map(({ label, operator, value }) => ({ label, operator: operators[operator], value }));
}

function resolveQuery(name: string, message: AlertQuery): RuleQuery {
  try {
    const matchers = resolveMatchers(message.matchers);
    const query: RuleQuery = {
      ...{ metric: message.metric, matchers, test: labelTest(matchers), minCount: message.minCount },
      statistic: statisticOf(message),
      windowMs: message.window ? durationMs(message.window) : defaultWindowMs,
      offsetMs: message.offset ? durationMs(message.offset) : 0,
      ...(message.grouping !== undefined && { groupBy: [...message.grouping.labels] }),
    };
    if (looksFarBack(query) && !countsEvents(query)) {
      throw new TypeError(
        "window: more than 6 hours (with offset) are told of counters alone, by INCREASE, RATE or QUANTILE",
      );
    }
    return query;
  } catch (error) {
    throw new TypeError(`queries.${name}: ${(error as Error).message}`);
  }
}

function countsEvents({ statistic }: RuleQuery): boolean {
  return statistic === "increase" || statistic === "rate" || typeof statistic === "object";
}

function statisticOf({ statistic, quantile }: AlertQuery): Statistic {
  return statistic === AlertStatistic.QUANTILE ? { quantile } : statistics[statistic];
}

function resolveThreshold({ at, clear = at }: AlertThreshold, comparison: Rule["comparison"], name: string): Threshold {
  if (Number.isNaN(at) || Number.isNaN(clear)) throw new TypeError(`${name}: NaN is no threshold: take a number`);
  if (comparison === "above" ? clear > at : clear < at) {
    const side = comparison === "above" ? "above" : "below";
    throw new TypeError(`${name}: what is well again at ${clear} would be ${side} the threshold of ${at}`);
  }
  return { at, clear };
}

function absence(policy: AlertAbsence): AbsencePolicy {
  if (policy === AlertAbsence.ALERT) return "alert";
  return policy === AlertAbsence.KEEP ? "keep" : "ok";
}

const operators: Readonly<Record<MatcherOperator, LabelMatcher["operator"]>> = {
  [MatcherOperator.UNSPECIFIED]: "=",
  [MatcherOperator.EQUAL]: "=",
  [MatcherOperator.NOT_EQUAL]: "!=",
  [MatcherOperator.MATCHES]: "=~",
  [MatcherOperator.NOT_MATCHES]: "!~",
};

const statistics: Readonly<Record<Exclude<AlertStatistic, AlertStatistic.QUANTILE>, Statistic>> = {
  [AlertStatistic.UNSPECIFIED]: "latest",
  [AlertStatistic.LATEST]: "latest",
  [AlertStatistic.AVG]: "avg",
  [AlertStatistic.MIN]: "min",
  [AlertStatistic.MAX]: "max",
  [AlertStatistic.SUM]: "sum",
  [AlertStatistic.COUNT]: "count",
  [AlertStatistic.RATE]: "rate",
  [AlertStatistic.INCREASE]: "increase",
};
