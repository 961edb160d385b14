import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { AlertAbsence } from "../../../gen/retake/v1/alert_pb.js";
import { prometheusRules } from "../../../src/monitoring/alerts/prometheus-rules.ts";
import { rule } from "./rules.ts";

interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly interval: string; readonly rules: readonly object[] }[];
}

describe("prometheusRules", () => {
  it("has an alert for each severity, with what people read", async () => {
    const text = await prometheusRules([
      rule({
        queries: {
          depth: {
            metric: "depth",
            statistic: 2,
            window: { seconds: 60n },
            grouping: { labels: ["queue"] },
            minCount: 3,
          },
        },
        warning: { at: 10, clear: 8 },
        critical: { at: 20 },
        for: { seconds: 90n },
        keepFiringFor: { seconds: 60n },
        labels: { team: "render" },
        annotations: { summary: "{{ $value }} deep" },
      }),
    ]);
    const value = "(avg by (queue) (avg_over_time(depth[1m])) and sum by (queue) (count_over_time(depth[1m])) >= 3)";
    const shared = { for: "1m30s", keep_firing_for: "1m", annotations: { summary: "{{ $value }} deep" } };
    expect((parse(text) as RuleFile).groups).toEqual([
      {
        name: "retake",
        interval: "10s",
        rules: [
          {
            ...shared,
            alert: "Deep",
            expr:
              `${value} > 10 or ((${value} > 8) and ignoring (alertname, alertstate, severity, team) ` +
              'ALERTS{alertname="Deep",alertstate="firing",severity="warning"})',
            labels: { team: "render", severity: "warning" },
          },
          { ...shared, alert: "Deep", expr: `${value} > 20`, labels: { team: "render", severity: "critical" } },
        ],
      },
    ]);
  });

  it.each([
    [
      "depth > 5 ? 20 + 1 : depth",
      "((((depth ^ 0 * (20 + 1)) and (depth > 5)) or (depth unless (depth > 5))) and depth)",
    ],
    ["-depth / 2.5", "(((-depth) / 2.5))"],
    ["depth > 2.5 ? depth : 2.5", "(((depth > 2.5) or (depth ^ 0 * 2.5)) and depth)"],
  ])("says what Prometheus takes: %s", async (expression, expected) => {
    const text = await prometheusRules([rule({ expression })]);
    expect((parse(text) as RuleFile).groups[0]?.rules).toEqual([
      { alert: "Deep", expr: `${expected} > 10`, labels: { severity: "warning" } },
    ]);
  });

  it("says what a threshold that an earlier version took means: nothing is beyond it, or everything", async () => {
    const text = await prometheusRules([
      rule({ warning: { at: Number.POSITIVE_INFINITY }, critical: { at: Number.NEGATIVE_INFINITY } }),
    ]);
    const { rules = [] } = (parse(text) as RuleFile).groups[0] ?? {};
    expect(rules).toMatchObject([{ expr: "depth > Inf" }, { expr: "depth > -Inf" }]);
  });

  it("tells that there are no samples as an alert of its own, which does not keep another one firing", async () => {
    const text = await prometheusRules([
      rule({ noData: AlertAbsence.ALERT, warning: { at: 10, clear: 8 }, for: { seconds: 60n } }),
    ]);
    expect((parse(text) as RuleFile).groups[0]?.rules).toEqual([
      {
        ...{ alert: "Deep", for: "1m", labels: { severity: "warning" } },
        expr:
          "depth > 10 or ((depth > 8) and ignoring (alertname, alertstate, severity) " +
          'ALERTS{alertname="Deep",alertstate="firing",severity="warning",cause!="no_data"})',
      },
      {
        ...{ alert: "Deep", for: "1m", labels: { severity: "warning", cause: "no_data" } },
        ...{ expr: "absent(count(depth))", annotations: { summary: "there are no samples for the rule Deep" } },
      },
    ]);
  });

  it("names the rules whose alerts go on without samples, which they do not in Prometheus", async () => {
    const text = await prometheusRules([rule({ noData: AlertAbsence.KEEP })]);
    expect(text).toContain(
      "# Ends in Prometheus where there are no samples any more, and not in Retake (no_data): Deep\n",
    );
  });

  it("has as text what Prometheus would expand otherwise", async () => {
    const text = await prometheusRules([
      rule({ labels: { team: "{{ a" }, annotations: { summary: "{{ $value }} {{ .Nope }}" } }),
    ]);
    expect((parse(text) as RuleFile).groups[0]?.rules).toMatchObject([
      {
        labels: { team: '{{ "{{" }} a', severity: "warning" },
        annotations: { summary: '{{ $value }} {{ "{{" }} .Nope }}' },
      },
    ]);
  });

  it.each([
    "string(depth).contains('7') ? depth : 0.0",
    // Integers are divided to integers, and constants are no vectors.
    "depth > 5.0 ? 7 / 2 : depth",
    "1.0 < 2.0 ? depth : 0.0",
    "depth > 5.0",
    // An earlier version took it, and it never came to a number.
    "depth + 1",
  ])("names the rules that PromQL cannot say: %s", async (expression) => {
    const text = await prometheusRules([rule({ expression })]);
    expect(text).toContain("# Left out, because PromQL cannot say its expression: Deep\n");
    expect((parse(text) as RuleFile).groups[0]?.rules).toEqual([]);
  });
});
