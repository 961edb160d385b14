import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { RuleAlerts } from "../../../src/monitoring/alerts/alert.ts";
import { builtInRules } from "../../../src/monitoring/alerts/built-in-rules.ts";
import type { SeriesSource } from "../../../src/monitoring/alerts/evaluate.ts";
import { prometheusRules } from "../../../src/monitoring/alerts/prometheus-rules.ts";
import { duration, rulePromql } from "../../../src/monitoring/alerts/promql.ts";
import { resolveRule } from "../../../src/monitoring/alerts/resolve-rule.ts";
import type { Rule, Severity } from "../../../src/monitoring/alerts/rule.ts";
import { sloRules } from "../../../src/monitoring/alerts/slo-rules.ts";
import { isFiring } from "../../../src/monitoring/alerts/tracker.ts";
import { describeWithTool, findTool } from "../../tools.ts";
import { type RandomCase, randomCase, type TestSeries } from "./random-rules.ts";

const rules = 500;
const samples = 61;
const stepMs = 10_000;

let directory: string | undefined;

afterAll(async () => {
  if (directory !== undefined) await rm(directory, { recursive: true });
});

describeWithTool("promtool", "alert rules, beside Prometheus's own", () => {
  it(`fires exactly when promtool does, for ${rules} random rules and series`, async () => {
    const cases = Array.from({ length: rules }, (_, i) => randomCase(i + 1, samples));
    const expected = cases.map(firings);
    // Rules that never fire, or always do, would tell nothing.
    const moved = expected.filter((each) => new Set(each.map((labels) => labels.length)).size > 1);
    expect(moved.length).toBeGreaterThan(rules / 4);

    directory = await mkdtemp(join(tmpdir(), "retake-promtool-"));
    await writeFile(
      join(directory, "rules.json"),
      JSON.stringify({ groups: [ruleGroup(cases.map(({ rule }) => rule))] }),
    );
    await writeFile(join(directory, "test.json"), JSON.stringify(unitTest(cases, expected)));
    const { code, output } = await promtool(["test", "rules", "test.json"], directory);
    expect(output.slice(0, 20_000)).toMatch(/SUCCESS/);
    expect(code).toBe(0);
  });
});

describeWithTool("promtool", "the rules for Prometheus", () => {
  it("are rules to promtool: the built-in ones and those of promises", async () => {
    const rules = [
      ...builtInRules(),
      ...sloRules({ workflow: "a.v1.Video/Paint", availability: 0.999, latency: { seconds: 5, objective: 0.95 } }),
    ];
    directory ??= await mkdtemp(join(tmpdir(), "retake-promtool-"));
    await writeFile(join(directory, "built-in.yml"), await prometheusRules(rules.map(resolveRule)));
    const { code, output } = await promtool(["check", "rules", "built-in.yml"], directory);
    expect(output).toMatch(/SUCCESS: \d+ rules found/);
    expect(code).toBe(0);
  });
});

type Firing = readonly { readonly severity: Severity; readonly labels: Readonly<Record<string, string>> }[];

/** What fires after each evaluation. */
function firings({ rule, series }: RandomCase): Firing[] {
  const alerts = new RuleAlerts(rule);
  const source = sourceOf(series);
  return Array.from({ length: samples }, (_, i) => {
    alerts.evaluate(source, i * stepMs);
    return [...alerts.alerts.values()].flatMap(({ labels, trackers }) =>
      (["warning", "critical"] as const).flatMap((severity) =>
        isFiring(trackers[severity]) ? [{ severity, labels }] : [],
      ),
    );
  });
}

function sourceOf(all: readonly TestSeries[]): SeriesSource {
  return {
    select: (name, test) =>
      all
        .filter((series) => series.name === name && test(series.labels))
        .map(({ labels, values }) => ({
          labels,
          read(afterMs, untilMs, visit) {
            for (const [i, value] of values.entries()) {
              const timeMs = i * stepMs;
              if (value !== undefined && timeMs > afterMs && timeMs <= untilMs) visit(timeMs, value);
            }
          },
        })),
  };
}

function ruleGroup(all: readonly Rule[]) {
  return {
    name: "random",
    interval: duration(stepMs),
    rules: all.flatMap((rule) =>
      (rulePromql(rule) ?? []).map(({ severity, expression }) => ({
        alert: rule.name,
        expr: expression,
        for: duration(rule.forMs),
        keep_firing_for: duration(rule.keepFiringForMs),
        labels: { ...rule.labels, severity },
      })),
    ),
  };
}

function unitTest(cases: readonly RandomCase[], expected: readonly (readonly Firing[])[]) {
  return {
    rule_files: ["rules.json"],
    evaluation_interval: duration(stepMs),
    tests: [
      {
        interval: duration(stepMs),
        input_series: cases.flatMap(({ series }) =>
          series.map(({ name, labels, values }) => ({
            series: `${name}{${Object.entries(labels)
              .map(([label, value]) => `${label}="${value}"`)
              .join(",")}}`,
            values: values.map((value) => value ?? "_").join(" "),
          })),
        ),
        alert_rule_test: cases.flatMap(({ rule }, i) =>
          Array.from({ length: samples }, (_, step) => ({
            eval_time: duration(step * stepMs),
            alertname: rule.name,
            exp_alerts: (expected[i]?.[step] ?? []).map(({ severity, labels }) => ({
              exp_labels: { ...labels, ...rule.labels, severity },
            })),
          })),
        ),
      },
    ],
  };
}

function promtool(args: readonly string[], cwd: string): Promise<{ code: number; output: string }> {
  const found = findTool("promtool");
  const program = found.kind === "found" ? found.path : "promtool";
  return new Promise((resolve) => {
    execFile(program, args, { cwd, maxBuffer: 256 * 1024 * 1024 }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : 1, output: stdout + stderr });
    });
  });
}
