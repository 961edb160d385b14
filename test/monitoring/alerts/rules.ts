import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AlertRuleSchema } from "../../../gen/retake/v1/alert_pb.js";
import type { RuleAlerts, RuleMoves } from "../../../src/monitoring/alerts/alert.ts";
import { evaluateRule, type SeriesSource } from "../../../src/monitoring/alerts/evaluate.ts";
import { resolveRule } from "../../../src/monitoring/alerts/resolve-rule.ts";
import type { Rule } from "../../../src/monitoring/alerts/rule.ts";
import { Series } from "../../../src/monitoring/series/series.ts";

export type RuleInit = MessageInitShape<typeof AlertRuleSchema>;

/** A rule that fires where the latest sample of the gauge "depth" is above 10, unless something else is said. */
export function rule(init: Partial<RuleInit> = {}): Rule {
  return resolveRule(
    create(AlertRuleSchema, {
      name: "Deep",
      queries: { depth: { metric: "depth" } },
      warning: { at: 10 },
      ...(init as object),
    }),
  );
}

/** What has come of a rule at a time. */
export function evaluated(alerts: RuleAlerts, source: SeriesSource, nowMs: number): RuleMoves {
  return alerts.follow(evaluateRule(alerts.rule, source, nowMs), nowMs);
}

/** Gauges by name and the label "queue", whose samples a test sets. */
export class TestGauges implements SeriesSource {
  readonly #all = new Map<string, Series>();

  set(name: string, timeMs: number, value: number, queue = "a"): void {
    const key = `${name} ${queue}`;
    const series = this.#all.get(key) ?? new Series(this.#all.size, name, { queue }, "gauge");
    this.#all.set(key, series);
    series.append(timeMs, value);
  }

  select: SeriesSource["select"] = (name, test) =>
    [...this.#all.values()].filter((series) => series.name === name && test(series.labels));
}
