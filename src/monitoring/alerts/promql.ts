import { parse } from "@bufbuild/cel";
import type { LabelMatcher } from "../series/matcher.ts";
import { type Rule, type RuleQuery, type Severity, severities } from "./rule.ts";

/** What a rule says of one severity, in PromQL. */
export interface PromqlAlert {
  readonly severity: Severity;
  readonly expression: string;
  /** Beside those of the rule. */
  readonly labels?: Readonly<Record<string, string>>;
}

/**
 * A rule for Prometheus: one alert for each severity, which holds exactly when the rule's own does, and one that there is no
 * number where that is one. What fires goes on until it is well again by asking for the alert itself (`ALERTS`). Undefined
 * where the expression is more than arithmetic.
 */
export function rulePromql(rule: Rule): readonly PromqlAlert[] | undefined {
  const value = valuePromql(rule);
  if (value === undefined) return undefined;
  const sign = rule.comparison === "above" ? ">" : "<";
  const ignored = ["alertname", "alertstate", ...new Set(["severity", ...Object.keys(rule.labels)])].join(", ");
  const byThreshold = severities.flatMap((severity): PromqlAlert[] => {
    const threshold = rule.thresholds[severity];
    if (threshold === undefined) return [];
    const { at, clear } = threshold;
    const hit = `${value} ${sign} ${numberPromql(at)}`;
    if (clear === at) return [{ severity, expression: hit }];
    const firing = selector("ALERTS", [
      { label: "alertname", operator: "=", value: rule.name },
      { label: "alertstate", operator: "=", value: "firing" },
      { label: "severity", operator: "=", value: severity },
      // That there was no number says nothing about the one that there is now.
      ...(rule.noData === "alert" ? [{ label: "cause", operator: "!=", value: noDataLabels.cause } as const] : []),
    ]);
    return [
      {
        severity,
        expression: `${hit} or ((${value} ${sign} ${numberPromql(clear)}) and ignoring (${ignored}) ${firing})`,
      },
    ];
  });
  const worst = severities.findLast((severity) => rule.thresholds[severity] !== undefined);
  if (rule.noData !== "alert" || worst === undefined) return byThreshold;
  // Counted, so that the matchers of a lone selector do not become its labels.
  return [...byThreshold, { severity: worst, expression: `absent(count(${value}))`, labels: noDataLabels }];
}

const noDataLabels = { cause: "no_data" } as const;

/** `Infinity` would be the name of a metric. */
function numberPromql(number: number): string {
  return String(number).replace("Infinity", "Inf");
}

/** The number of a rule; undefined where PromQL cannot say it. */
function valuePromql({ queries, expression }: Rule): string | undefined {
  const names = [...queries.keys()];
  const [first] = queries.values();
  if (expression === undefined) return first && queryPromql(first);
  const used = new Map(Array.from(queries, ([name, query]) => [name, queryPromql(query)]));
  const arithmetic = arithmeticPromql(parse(expression.source).expr, used);
  // A group has a number only where all queries have one.
  const missing = names.filter((name) => !new RegExp(`\\b${name}\\b`).test(expression.source));
  if (arithmetic === undefined || arithmetic.scalar || missing.length > 0) return undefined;
  // A choice might not look at all of them.
  const needed = expression.source.includes("?") ? [...used.values()].map((query) => ` and ${query}`).join("") : "";
  return `(${arithmetic.text}${needed})`;
}

/** The numbers of a query. */
export function queryPromql(query: RuleQuery): string {
  const value = statisticPromql(query);
  if (query.minCount === 0) return value;
  return `(${value} and ${countPromql(query)} >= ${query.minCount})`;
}

function statisticPromql(query: RuleQuery): string {
  const { statistic, metric, matchers, groupBy } = query;
  const { range, offset } = timesPromql(query);
  if (typeof statistic === "object") {
    const rate = `rate(${selector(`${metric}_bucket`, matchers)}${range})`;
    const summed = groupBy === undefined ? rate : `sum by (${["le", ...groupBy].join(", ")}) (${rate})`;
    return `histogram_quantile(${statistic.quantile}, ${summed})`;
  }
  const series = selector(metric, matchers);
  const each = statistic === "latest" ? `${series}${offset}` : `${functions[statistic]}(${series}${range})`;
  if (groupBy === undefined) return each;
  const operator = statistic === "avg" || statistic === "min" || statistic === "max" ? statistic : "sum";
  return `${operator} by (${groupBy.join(", ")}) (${each})`;
}

function countPromql(query: RuleQuery): string {
  const { statistic, metric, matchers, groupBy } = query;
  const { range } = timesPromql(query);
  if (typeof statistic === "object") {
    const all = selector(`${metric}_bucket`, [...matchers, { label: "le", operator: "=", value: "+Inf" }]);
    const increase = `increase(${all}${range})`;
    return groupBy === undefined ? `sum without (le) (${increase})` : `sum by (${groupBy.join(", ")}) (${increase})`;
  }
  const counting = statistic === "rate" || statistic === "increase" ? "increase" : "count_over_time";
  const each = `${counting}(${selector(metric, matchers)}${range})`;
  return groupBy === undefined ? each : `sum by (${groupBy.join(", ")}) (${each})`;
}

/** The samples of a window, and the latest one before its end. */
function timesPromql({ windowMs, offsetMs }: RuleQuery): { readonly range: string; readonly offset: string } {
  const offset = offsetMs === 0 ? "" : ` offset ${duration(offsetMs)}`;
  return { range: `[${duration(windowMs)}]${offset}`, offset };
}

const functions = {
  ...{ avg: "avg_over_time", min: "min_over_time", max: "max_over_time", sum: "sum_over_time" },
  ...{ count: "count_over_time", rate: "rate", increase: "increase" },
} as const;

const operators: Readonly<Record<string, string>> = { "_+_": "+", "_-_": "-", "_*_": "*", "_/_": "/" };

const comparisons: Readonly<Record<string, string>> = { "_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">=" };

type Expr = ReturnType<typeof parse>["expr"];

/** A part of an expression. Without a query in it, PromQL has a scalar, which is never a vector by itself. */
interface Arithmetic {
  readonly text: string;
  readonly scalar: boolean;
  /** Of integers alone: CEL divides these to integers, and PromQL does not. */
  readonly integer: boolean;
}

function arithmeticPromql(expr: Expr | undefined, values: ReadonlyMap<string, string>): Arithmetic | undefined {
  const kind = expr?.exprKind;
  switch (kind?.case) {
    case "identExpr": {
      const text = values.get(kind.value.name);
      return text === undefined ? undefined : { text, scalar: false, integer: false };
    }
    case "constExpr": {
      const constant = kind.value.constantKind;
      if (constant.case !== "doubleValue" && constant.case !== "int64Value") return undefined;
      return { text: String(constant.value), scalar: true, integer: constant.case === "int64Value" };
    }
    case "callExpr": {
      const { args } = kind.value;
      if (kind.value.function === "_?_:_") return choicePromql(args, values);
      const [left, right] = args.map((arg) => arithmeticPromql(arg, values));
      if (left === undefined) return undefined;
      if (kind.value.function === "-_" && args.length === 1) return { ...left, text: `(-${left.text})` };
      const operator = operators[kind.value.function];
      if (operator === undefined || right === undefined) return undefined;
      // CEL has no sum of an integer and a double: such a rule, which an earlier version took, has no number.
      if (left.integer !== right.integer) return undefined;
      const { integer } = left;
      if (integer && operator === "/") return undefined;
      return { text: `(${left.text} ${operator} ${right.text})`, scalar: left.scalar && right.scalar, integer };
    }
    default:
      return undefined;
  }
}

/** One vector where a comparison holds, and another where it does not. */
function choicePromql(args: readonly Expr[], values: ReadonlyMap<string, string>): Arithmetic | undefined {
  const [condition, yes, no] = args;
  const call = condition?.exprKind.case === "callExpr" ? condition.exprKind.value : undefined;
  const operator = comparisons[call?.function ?? ""];
  const [left, right] = (call?.args ?? []).map((arg) => arithmeticPromql(arg, values));
  const [then, otherwise] = [yes, no].map((arg) => arithmeticPromql(arg, values));
  if (operator === undefined || left === undefined || right === undefined) return undefined;
  if (then === undefined || otherwise === undefined) return undefined;
  // What compares constants compares no vectors, and chooses none.
  if (left.scalar && right.scalar) return undefined;
  const holds = `(${left.text} ${operator} ${right.text})`;
  const other = vectorPromql(otherwise, values);
  return {
    text:
      then.text === left.text && !left.scalar
        ? // As with the greater of two: what is compared is what the comparison leaves.
          `(${holds} or ${other})`
        : // Not the opposite comparison: where there is no number (NaN), neither holds.
          `((${vectorPromql(then, values)} and ${holds}) or (${other} unless ${holds}))`,
    scalar: false,
    integer: then.integer && otherwise.integer,
  };
}

/** A scalar has no labels that it could be chosen by: the first query lends its own, whatever its number is. */
function vectorPromql({ text, scalar }: Arithmetic, values: ReadonlyMap<string, string>): string {
  const [first] = values.values();
  return scalar ? `(${first} ^ 0 * ${text})` : text;
}

function selector(metric: string, matchers: readonly LabelMatcher[]): string {
  if (matchers.length === 0) return metric;
  return `${metric}{${matchers
    .map(exposedMatcher)
    .map(({ label, operator, value }) => `${label}${operator}${JSON.stringify(value)}`)
    .join(",")}}`;
}

/** The bound of a bucket that is 60 here is 60.0 to those who read OpenMetrics, and 60 to others. */
function exposedMatcher(matcher: LabelMatcher): LabelMatcher {
  const { label, operator, value } = matcher;
  if (label !== "le" || !/^-?\d+$/.test(value) || (operator !== "=" && operator !== "!=")) return matcher;
  return { label, operator: operator === "=" ? "=~" : "!~", value: `${value}(\\.0)?` };
}

/** Prometheus takes whole milliseconds. */
export function duration(ms: number): string {
  if (ms % 1_000 !== 0) return `${ms}ms`;
  const units = [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["m", 60_000],
    ["s", 1_000],
  ] as const;
  let left = ms;
  let text = "";
  for (const [unit, length] of units) {
    const count = Math.floor(left / length);
    if (count > 0) text += `${count}${unit}`;
    left -= count * length;
  }
  return text === "" ? "0s" : text;
}
