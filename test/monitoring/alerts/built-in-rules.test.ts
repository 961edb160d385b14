import { createValidator } from "@bufbuild/protovalidate";
import { describe, expect, it } from "vitest";
import { AlertRuleSchema } from "../../../gen/retake/v1/alert_pb.js";
import { RuleAlerts } from "../../../src/monitoring/alerts/alert.ts";
import { builtInRules } from "../../../src/monitoring/alerts/built-in-rules.ts";
import { rulePromql } from "../../../src/monitoring/alerts/promql.ts";
import { resolveRule } from "../../../src/monitoring/alerts/resolve-rule.ts";
import type { Rule } from "../../../src/monitoring/alerts/rule.ts";
import { isFiring } from "../../../src/monitoring/alerts/tracker.ts";
import { noSeriesStorage } from "../../../src/monitoring/series/series-storage.ts";
import { SeriesStore } from "../../../src/monitoring/series/series-store.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { grownQueue, slowedRuns } from "./lasting-faults.ts";
import type { TestSeries } from "./random-rules.ts";
import { evaluated } from "./rules.ts";

describe("a built-in rule", () => {
  const validator = createValidator();

  it.each(builtInRules().map((rule) => [rule.name, rule] as const))("%s is a rule, also for Prometheus", (_, rule) => {
    expect(validator.validate(AlertRuleSchema, rule)).toMatchObject({ kind: "valid" });
    const resolved = resolveRule(rule);
    const alerts = Object.keys(resolved.thresholds).length + (resolved.noData === "alert" ? 1 : 0);
    expect(rulePromql(resolved)).toHaveLength(alerts);
    expect(rule.annotations["summary"]).toMatch(/\w/);
  });
});

describe("an alert", () => {
  it("goes on for hours while all runs of a workflow are slow", async () => {
    const fired = await firedMinutes("RetakeSlowRuns", slowedRuns(720, 0, 400));
    expect(fired[0]).toBeLessThanOrEqual(410);
    expect(fired.at(-1)).toBeGreaterThan(400 + 180);
    expect(fired).toHaveLength((fired.at(-1) ?? 0) - (fired[0] ?? 0) + 1);
    // By then that is what they usually take.
    expect(fired.at(-1)).toBeLessThan(400 + 240);
  });

  it("tells of slow runs where they had been fast for an hour only, for about as long", async () => {
    const fired = await firedMinutes("RetakeSlowRuns", slowedRuns(600, 340, 400));
    expect(fired[0]).toBeLessThanOrEqual(410);
    expect(fired.at(-1)).toBeGreaterThan(480);
    expect(fired).toHaveLength((fired.at(-1) ?? 0) - (fired[0] ?? 0) + 1);
  });

  it("tells of nothing where runs take what they always took", async () => {
    expect(await firedMinutes("RetakeSlowRuns", slowedRuns(600, 0, 600))).toEqual([]);
  });

  it("goes on while a queue grows at the same pace, and ends when it does not grow any more", async () => {
    const fired = await firedMinutes("RetakeQueueGrowing", [grownQueue(600, 100, 500)]);
    expect(fired[0]).toBeLessThanOrEqual(115);
    expect(fired.at(-1)).toBeGreaterThanOrEqual(500);
    expect(fired).toHaveLength((fired.at(-1) ?? 0) - (fired[0] ?? 0) + 1);
    expect(fired.at(-1)).toBeLessThanOrEqual(540);
  });
});

/** In which minutes a built-in rule fires. */
async function firedMinutes(name: string, series: readonly TestSeries[]): Promise<number[]> {
  const clock = createVirtualClock();
  const store = await SeriesStore.open({ clock, log: silentLogger, storage: noSeriesStorage });
  const known = series.map(({ name, labels, values }) => ({
    series: store.series(name, labels, name.endsWith("_bucket") ? "counter" : "gauge"),
    values,
  }));
  const alerts = new RuleAlerts(builtIn(name));
  const fired: number[] = [];
  for (const minute of series[0]?.values.keys() ?? []) {
    const timeMs = minute * 60_000;
    store.advance(timeMs);
    for (const { series, values } of known) {
      const value = values[minute];
      if (series !== undefined && value !== undefined) store.append(series, timeMs, value);
    }
    evaluated(alerts, store, timeMs);
    if (alerts.alerts.values().some(({ trackers }) => Object.values(trackers).some(isFiring))) fired.push(minute);
  }
  return fired;
}

function builtIn(name: string): Rule {
  const found = builtInRules().find((rule) => rule.name === name);
  if (found === undefined) throw new Error(`there is no rule ${name}`);
  return resolveRule(found);
}
