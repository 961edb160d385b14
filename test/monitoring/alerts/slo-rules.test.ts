import { createValidator } from "@bufbuild/protovalidate";
import { describe, expect, it } from "vitest";
import { AlertRuleSchema } from "../../../gen/retake/v1/alert_pb.js";
import { RuleAlerts, viewAlert } from "../../../src/monitoring/alerts/alert.ts";
import type { SeriesSource } from "../../../src/monitoring/alerts/evaluate.ts";
import { rulePromql } from "../../../src/monitoring/alerts/promql.ts";
import { resolveRule } from "../../../src/monitoring/alerts/resolve-rule.ts";
import { sloRules } from "../../../src/monitoring/alerts/slo-rules.ts";
import { Series } from "../../../src/monitoring/series/series.ts";

const workflow = "a.v1.Video/Paint";
const target = { workflow, availability: 0.99, latency: { seconds: 5, objective: 0.9 } };

/** Six hours of runs, one each ten seconds, of which this share fails in the last of them and in the last minutes. */
function source(failing: { lastHour: number; lastMinutes: number }): SeriesSource {
  const ended = (state: string) =>
    new Series(1, "retake_runs_ended_total", { retake_workflow: workflow, retake_run_state: state }, "counter");
  const [failed, succeeded] = [ended("FAILED"), ended("SUCCEEDED")];
  let bad = 0;
  for (let i = 1; i <= 2_160; i++) {
    const share = i > 2_160 - 30 ? failing.lastMinutes : i > 2_160 - 360 ? failing.lastHour : 0;
    bad += share;
    failed.append(i * 10_000, bad);
    succeeded.append(i * 10_000, i - bad);
  }
  return {
    select: (name, test) => [failed, succeeded].filter((series) => series.name === name && test(series.labels)),
  };
}

function firing(failing: { lastHour: number; lastMinutes: number }): string[] {
  return sloRules(target).flatMap((rule) => {
    const alerts = new RuleAlerts(resolveRule(rule));
    const { error } = alerts.evaluate(source(failing), 2_160 * 10_000);
    expect(error).toBeUndefined();
    return [...alerts.alerts.values()].map((alert) => `${rule.name} ${viewAlert(alert).severity}`);
  });
}

describe("sloRules", () => {
  it("makes rules for each promise, also for Prometheus", () => {
    const validator = createValidator();
    const rules = sloRules(target);
    expect(rules.map(({ name }) => name)).toEqual([
      "SloAvailabilityFast_a_v1_Video_Paint",
      "SloAvailabilitySlow_a_v1_Video_Paint",
      "SloLatencyFast_a_v1_Video_Paint",
      "SloLatencySlow_a_v1_Video_Paint",
    ]);
    for (const rule of rules) {
      expect(validator.validate(AlertRuleSchema, rule)).toMatchObject({ kind: "valid" });
      expect(rulePromql(resolveRule(rule))).toHaveLength(1);
    }
    expect(sloRules({ workflow })).toEqual([]);
  });

  it("fires when the budget burns too fast, in the long window and in the short one", () => {
    expect(firing({ lastHour: 0.005, lastMinutes: 0.005 })).toEqual([]);
    expect(firing({ lastHour: 0.2, lastMinutes: 0.2 })).toEqual(["SloAvailabilityFast_a_v1_Video_Paint critical"]);
    expect(firing({ lastHour: 0.6, lastMinutes: 0.6 })).toEqual([
      "SloAvailabilityFast_a_v1_Video_Paint critical",
      "SloAvailabilitySlow_a_v1_Video_Paint critical",
    ]);
    // It was bad, and is no more; it is bad, and has not cost much yet.
    expect(firing({ lastHour: 0.2, lastMinutes: 0 })).toEqual([]);
    expect(firing({ lastHour: 0, lastMinutes: 0.5 })).toEqual([]);
  });
});
