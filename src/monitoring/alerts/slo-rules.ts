import { create } from "@bufbuild/protobuf";
import {
  type AlertQuery,
  AlertQuerySchema,
  type AlertRule,
  AlertRuleSchema,
  AlertStatistic,
  MatcherOperator,
} from "../../../gen/retake/v1/alert_pb.js";
import { durationFromMs } from "../../runs/index.ts";

/** What a workflow promises to its callers, over thirty days. */
export interface SloTarget {
  /** `package.Service/Method`. */
  readonly workflow: string;
  /** Which part of its runs is to succeed: 0.99. Absent: nothing is promised. */
  readonly availability?: number;
  /** Which part of those that succeed is to take no longer than that. */
  readonly latency?: { readonly seconds: number; readonly objective: number };
}

const hour = 3_600_000;

/**
 * How fast the error budget of thirty days may burn, in two windows that must both agree: the long one says that it matters,
 * the short one that it goes on (Google's SRE workbook, "Alerting on SLOs"). Somebody is called where it burns in hours or
 * a few days, and has it to see to where it would not last for the thirty.
 */
const burnRates = [
  { name: "Fast", severity: "critical", longMs: hour, shortMs: hour / 12, rate: 14.4 },
  { name: "Slow", severity: "critical", longMs: 6 * hour, shortMs: hour / 2, rate: 6 },
  { name: "Day", severity: "warning", longMs: 24 * hour, shortMs: 2 * hour, rate: 3 },
  { name: "Days", severity: "warning", longMs: 72 * hour, shortMs: 6 * hour, rate: 1 },
] as const;

/**
 * The alert rules of a promise, one for each pair of windows.
 *
 * @param suffix behind their names, which are those of another workflow's otherwise
 */
export function sloRules(target: SloTarget, suffix = ""): AlertRule[] {
  const { workflow, availability, latency } = target;
  const name = workflow.replace(/[^A-Za-z0-9]+/g, "_") + suffix;
  const own = { label: "retake_workflow", value: workflow };
  const rules: AlertRule[] = [];
  if (availability !== undefined) {
    const bad = { label: "retake_run_state", operator: MatcherOperator.MATCHES, value: "FAILED|EXPIRED" };
    for (const burn of burnRates) {
      rules.push(
        burnRule(`SloAvailability${burn.name}_${name}`, burn, 1 - availability, workflow, "fail", (windowMs) => ({
          bad: increase("retake_runs_ended_total", windowMs, [own, bad]),
          all: increase("retake_runs_ended_total", windowMs, [own]),
        })),
      );
    }
  }
  if (latency !== undefined) {
    const succeeded = { label: "retake_run_state", value: "SUCCEEDED" };
    const le = { label: "le", operator: MatcherOperator.EQUAL, value: String(latency.seconds) };
    for (const burn of burnRates) {
      rules.push(
        burnRule(
          `SloLatency${burn.name}_${name}`,
          burn,
          1 - latency.objective,
          workflow,
          "take too long",
          (windowMs) => ({
            good: increase("retake_run_duration_seconds_bucket", windowMs, [own, succeeded, le]),
            all: increase("retake_run_duration_seconds_count", windowMs, [own, succeeded]),
          }),
        ),
      );
    }
  }
  return rules;
}

type Parts = Readonly<Record<string, AlertQuery>>;

function burnRule(
  name: string,
  { severity, longMs, shortMs, rate }: (typeof burnRates)[number],
  budget: number,
  workflow: string,
  fault: string,
  parts: (windowMs: number) => Parts,
): AlertRule {
  const queries: Record<string, AlertQuery> = {};
  for (const [prefix, windowMs] of [
    ["long", longMs],
    ["short", shortMs],
  ] as const) {
    for (const [part, query] of Object.entries(parts(windowMs))) queries[`${prefix}_${part}`] = query;
  }
  const share = (prefix: string): string =>
    "long_good" in queries
      ? `(${prefix}_all - ${prefix}_good) / (${prefix}_all * ${number(budget)})`
      : `${prefix}_bad / (${prefix}_all * ${number(budget)})`;
  return create(AlertRuleSchema, {
    name,
    queries,
    // The lower of the two: both must be too high.
    expression: `${share("long")} < ${share("short")} ? ${share("long")} : ${share("short")}`,
    [severity]: { at: rate, clear: rate / 2 },
    labels: { slo: "true" },
    annotations: {
      summary: `too many runs of ${workflow} ${fault}: its error budget of 30 days burns {{ $value | humanize }} times as fast as it may`,
    },
  });
}

function increase(
  metric: string,
  windowMs: number,
  matchers: { label: string; operator?: MatcherOperator; value: string }[],
): AlertQuery {
  return create(AlertQuerySchema, {
    metric,
    matchers,
    statistic: AlertStatistic.INCREASE,
    window: durationFromMs(windowMs),
    grouping: { labels: ["retake_workflow"] },
  });
}

/** As a double of CEL, whatever its digits. */
function number(value: number): string {
  const text = String(Number(value.toPrecision(12)));
  return /[.e]/.test(text) ? text : `${text}.0`;
}
