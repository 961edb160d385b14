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
import { wantedPasts } from "../../../src/monitoring/alerts/wanted-pasts.ts";
import { Series } from "../../../src/monitoring/series/series.ts";
import { noSeriesStorage } from "../../../src/monitoring/series/series-storage.ts";
import { SeriesStore } from "../../../src/monitoring/series/series-store.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { createSeededRandom } from "../../../src/testing/seeded-random.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { describeWithTool, findTool } from "../../tools.ts";
import { grownQueue, slowedRuns } from "./lasting-faults.ts";
import { type RandomCase, randomCase, type TestSeries } from "./random-rules.ts";
import { evaluated, rule } from "./rules.ts";

const rules = 500;
const samples = 61;
const stepMs = 10_000;
const hour = 3_600_000;
const halfAnHour = 1_800_000;

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

describeWithTool("promtool", "the rules of promises, beside Prometheus's own", () => {
  it.each([
    ["a day, and less", "(Fast|Slow|Day)", stepMs],
    // More samples than promtool takes at once, if they were taken more often.
    ["three days", "Days", 6 * stepMs],
  ])(
    "fire exactly when promtool does, which has every sample of %s, where we have minutes",
    async (_, paces, everyMs) => {
      const rules = promiseRules(new RegExp(`${paces}_`));
      const runs = promisedRuns(everyMs);
      const found = await promisedFirings(rules, runs, everyMs);
      for (const own of found) expect(new Set(own.map((firing) => firing.length)).size).toBe(2);

      directory ??= await mkdtemp(join(tmpdir(), "retake-promtool-"));
      const group = { ...ruleGroup(rules), interval: duration(halfAnHour) };
      await writeFile(join(directory, "promises.json"), JSON.stringify({ groups: [group] }));
      const cases = rules.map((rule) => ({ rule, series: [] as TestSeries[] }));
      const test = unitTest([{ rule: rules[0] as Rule, series: runs }], []);
      const checks = unitTest(cases, found, halfAnHour).tests[0]?.alert_rule_test;
      await writeFile(
        join(directory, "promises-test.json"),
        JSON.stringify({
          rule_files: ["promises.json"],
          evaluation_interval: duration(halfAnHour),
          tests: [{ ...test.tests[0], interval: duration(everyMs), alert_rule_test: checks }],
        }),
      );
      const { code, output } = await promtool(["test", "rules", "promises-test.json"], directory);
      expect(output.slice(0, 20_000)).toMatch(/SUCCESS/);
      expect(code).toBe(0);
    },
  );
});

describeWithTool("promtool", "built-in rules, beside Prometheus's own", () => {
  it("fire for hours exactly when promtool does: of slow runs, and of a queue that grows", async () => {
    const minutes = 700;
    const everyMs = 60_000;
    const rules = builtInRules()
      .filter(({ name }) => name === "RetakeSlowRuns" || name === "RetakeQueueGrowing")
      .map(resolveRule)
      .map(withNothingOnTheEdge);
    const series = [...slowedRuns(minutes, 30, 400), grownQueue(minutes, 100, 500)];
    const source = new Map(
      series.map((one, i) => [
        one,
        new Series(i, one.name, one.labels, one.name.endsWith("_bucket") ? "counter" : "gauge"),
      ]),
    );
    const select: SeriesSource["select"] = (name, test) =>
      [...source.values()].filter((one) => one.name === name && test(one.labels));
    const alerts = rules.map((rule) => new RuleAlerts(rule));
    const found: Firing[][] = rules.map(() => []);
    for (let minute = 0; minute < minutes; minute++) {
      for (const [{ values }, one] of source) {
        const value = values[minute];
        if (value !== undefined) one.append(minute * everyMs, value);
      }
      for (const [i, one] of alerts.entries()) {
        evaluated(one, { select }, minute * everyMs);
        found[i]?.push(firingOf(one));
      }
    }
    for (const own of found) expect(own.filter((firing) => firing.length > 0).length).toBeGreaterThan(180);

    directory ??= await mkdtemp(join(tmpdir(), "retake-promtool-"));
    const group = { ...ruleGroup(rules), interval: duration(everyMs) };
    await writeFile(join(directory, "lasting.json"), JSON.stringify({ groups: [group] }));
    const test = unitTest([{ rule: rules[0] as Rule, series }], []);
    const cases = rules.map((rule) => ({ rule, series: [] as TestSeries[] }));
    const checks = unitTest(cases, found, everyMs).tests[0]?.alert_rule_test;
    await writeFile(
      join(directory, "lasting-test.json"),
      JSON.stringify({
        rule_files: ["lasting.json"],
        evaluation_interval: duration(everyMs),
        tests: [{ ...test.tests[0], interval: duration(everyMs), alert_rule_test: checks }],
      }),
    );
    const { code, output } = await promtool(["test", "rules", "lasting-test.json"], directory);
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
    // As one that was set before such things were refused.
    const templates = rule({
      labels: { team: "{{ $labels.queue }} {{{" },
      annotations: { summary: "{{ .Nope | x }} {{ $value | nope }} a } {{ b {{{ $value }}" },
    });
    const all = [...rules.map(resolveRule), templates];
    await writeFile(join(directory, "built-in.yml"), await prometheusRules(all));
    const { code, output } = await promtool(["check", "rules", "built-in.yml"], directory);
    expect(output).toMatch(/SUCCESS: \d+ rules found/);
    expect(code).toBe(0);
  });
});

type Firing = readonly { readonly severity: Severity; readonly labels: Readonly<Record<string, string>> }[];

/** What fires after each evaluation. */
function firings({ rule, series }: RandomCase): Firing[] {
  const alerts = new RuleAlerts(rule);
  const known = new Map(series.map((one, i) => [one, new Series(i, one.name, one.labels, "gauge")]));
  const source: SeriesSource = {
    select: (name, test) => [...known.values()].filter((one) => one.name === name && test(one.labels)),
  };
  return Array.from({ length: samples }, (_, i) => {
    for (const [{ values }, one] of known) {
      const value = values[i];
      if (value !== undefined) one.append(i * stepMs, value);
    }
    evaluated(alerts, source, i * stepMs);
    return firingOf(alerts);
  });
}

function firingOf(alerts: RuleAlerts): Firing {
  return [...alerts.alerts.values()].flatMap(({ labels, cause, trackers }) =>
    (["warning", "critical"] as const).flatMap((severity) =>
      isFiring(trackers[severity]) ? [{ severity, labels: cause === "threshold" ? labels : { ...labels, cause } }] : [],
    ),
  );
}

const workflow = "a.v1.Video/Paint";
const promises = { workflow, availability: 0.99, latency: { seconds: 5, objective: 0.98 } };

/** Versions of Prometheus differ in what lies right there. */
function withNothingOnTheEdge(rule: Rule): Rule {
  return {
    ...rule,
    queries: new Map(
      Array.from(rule.queries, ([name, query]) => [name, { ...query, windowMs: query.windowMs + 5_000 }]),
    ),
  };
}

/**
 * The rules of a promise. Prometheus forgets between two evaluations that are that far apart what has fired: they are well again where they were not before.
 */
function promiseRules(named: RegExp): Rule[] {
  return sloRules(promises)
    .filter(({ name }) => named.test(name))
    .map(resolveRule)
    .map(withNothingOnTheEdge)
    .map((rule) => ({
      ...rule,
      thresholds: Object.fromEntries(
        Object.entries(rule.thresholds).map(([severity, { at }]) => [severity, { at, clear: at }]),
      ),
    }));
}

/** Runs of 76 hours, a day of which has hours that are worse. */
function promisedRuns(everyMs: number): TestSeries[] {
  const random = createSeededRandom(7);
  const hours = Array.from({ length: 76 }, (_, i) =>
    i >= 30 && i < 58 && random.next() < 0.4 ? random.next() * 0.5 : random.next() * 0.005,
  );
  const counts = { failed: 500, succeeded: 500, quick: 500 };
  const values: Record<keyof typeof counts, number[]> = { failed: [], succeeded: [], quick: [] };
  for (let i = 0; i < (76 * hour) / everyMs; i++) {
    const share = hours[Math.floor((i * everyMs) / hour)] ?? 0;
    for (let run = Math.floor((random.next() * 4 * everyMs) / stepMs); run > 0; run--) {
      const failed = random.next() < share;
      counts.failed += failed ? 1 : 0;
      counts.succeeded += failed ? 0 : 1;
      counts.quick += !failed && random.next() > share ? 1 : 0;
    }
    for (const name of ["failed", "succeeded", "quick"] as const) values[name].push(counts[name]);
  }
  const of = (state: string) => ({ retake_workflow: workflow, retake_run_state: state });
  return [
    { name: "retake_runs_ended_total", labels: of("FAILED"), values: values.failed },
    { name: "retake_runs_ended_total", labels: of("SUCCEEDED"), values: values.succeeded },
    { name: "retake_run_duration_seconds_count", labels: of("SUCCEEDED"), values: values.succeeded },
    { name: "retake_run_duration_seconds_bucket", labels: { ...of("SUCCEEDED"), le: "5" }, values: values.quick },
  ];
}

/** What fires every half an hour, by rule: worked out from minutes where that is more than six hours ago. */
async function promisedFirings(
  rules: readonly Rule[],
  runs: readonly TestSeries[],
  everyMs: number,
): Promise<Firing[][]> {
  const store = await SeriesStore.open({ clock: createVirtualClock(), log: silentLogger, storage: noSeriesStorage });
  await store.keepPast(wantedPasts(rules));
  const known = runs.map(({ name, labels, values }) => ({ series: store.series(name, labels, "counter"), values }));
  const alerts = rules.map((rule) => new RuleAlerts(rule));
  const found: Firing[][] = rules.map(() => []);
  for (let i = 0; i < (76 * hour) / everyMs; i++) {
    const timeMs = i * everyMs;
    store.advance(timeMs);
    for (const { series, values } of known) if (series) store.append(series, timeMs, values[i] ?? 0);
    if (timeMs % halfAnHour !== 0) continue;
    for (const [j, one] of alerts.entries()) {
      evaluated(one, store, timeMs);
      found[j]?.push(firingOf(one));
    }
  }
  return found;
}

function ruleGroup(all: readonly Rule[]) {
  return {
    name: "random",
    interval: duration(stepMs),
    rules: all.flatMap((rule) =>
      (rulePromql(rule) ?? []).map(({ severity, expression, labels }) => ({
        alert: rule.name,
        expr: expression,
        for: duration(rule.forMs),
        keep_firing_for: duration(rule.keepFiringForMs),
        labels: { ...rule.labels, ...labels, severity },
      })),
    ),
  };
}

function unitTest(cases: readonly RandomCase[], expected: readonly (readonly Firing[])[], everyMs = stepMs) {
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
          (expected[i] ?? []).map((firing, step) => ({
            eval_time: duration(step * everyMs),
            alertname: rule.name,
            exp_alerts: firing.map(({ severity, labels }) => ({
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
