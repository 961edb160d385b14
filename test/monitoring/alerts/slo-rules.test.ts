import { createValidator } from "@bufbuild/protovalidate";
import { ValueType } from "@opentelemetry/api";
import { AggregationTemporality, DataPointType } from "@opentelemetry/sdk-metrics";
import { describe, expect, it } from "vitest";
import { AlertRuleSchema } from "../../../gen/retake/v1/alert_pb.js";
import { Instruments } from "../../../src/instruments.ts";
import { RuleAlerts, viewAlert } from "../../../src/monitoring/alerts/alert.ts";
import type { SeriesSource } from "../../../src/monitoring/alerts/evaluate.ts";
import { rulePromql } from "../../../src/monitoring/alerts/promql.ts";
import { resolveRule } from "../../../src/monitoring/alerts/resolve-rule.ts";
import { sloRules } from "../../../src/monitoring/alerts/slo-rules.ts";
import { wantedPasts } from "../../../src/monitoring/alerts/wanted-pasts.ts";
import { type ExpositionFormat, exposition } from "../../../src/monitoring/prometheus/exposition.ts";
import { MetricFamilies } from "../../../src/monitoring/prometheus/metric-families.ts";
import { noSeriesStorage } from "../../../src/monitoring/series/series-storage.ts";
import { SeriesStore } from "../../../src/monitoring/series/series-store.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { evaluated } from "./rules.ts";

const workflow = "a.v1.Video/Paint";
const target = { workflow, availability: 0.99, latency: { seconds: 5, objective: 0.9 } };

/** Which share of the runs failed, from so many minutes ago on. */
type Failing = readonly (readonly [minutesAgo: number, share: number])[];

const samples = 4 * 24 * 60;

/** Four days of runs, one each minute. */
async function source(failing: Failing): Promise<SeriesSource> {
  const store = await SeriesStore.open({ clock: createVirtualClock(), log: silentLogger, storage: noSeriesStorage });
  await store.keepPast(wantedPasts(sloRules(target).map(resolveRule)));
  const ended = (state: string) =>
    store.series("retake_runs_ended_total", { retake_workflow: workflow, retake_run_state: state }, "counter");
  const [failed, succeeded] = [ended("FAILED"), ended("SUCCEEDED")];
  if (failed === undefined || succeeded === undefined) throw new Error("there is no room");
  let bad = 0;
  for (let i = 1; i <= samples; i++) {
    bad += failing.findLast(([minutesAgo]) => samples - i < minutesAgo)?.[1] ?? 0;
    store.advance(i * 60_000);
    store.append(failed, i * 60_000, bad);
    store.append(succeeded, i * 60_000, i - bad);
  }
  return store;
}

/** What fires of the promise about availability. */
async function firing(...failing: Failing): Promise<string[]> {
  const runs = await source(failing);
  return sloRules(target).flatMap((rule) => {
    const alerts = new RuleAlerts(resolveRule(rule));
    const { error } = evaluated(alerts, runs, samples * 60_000);
    expect(error).toBeUndefined();
    return [...alerts.alerts.values()].map((alert) => {
      const [, pace] = /^SloAvailability([A-Z][a-z]+)_/.exec(rule.name) ?? [];
      return `${pace} ${viewAlert(alert).severity}`;
    });
  });
}

/** The buckets that a histogram is shown to have. */
function bounds(instruments: Instruments, format: ExpositionFormat): string[] {
  const histograms = instruments.collect(() => {}).filter((family) => family.kind === "histogram");
  const metrics = histograms.map(({ description, bounds: boundaries }) => ({
    ...{ descriptor: { ...description, valueType: ValueType.DOUBLE }, dataPointType: DataPointType.HISTOGRAM as const },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPoints: [
      {
        ...{ attributes: {}, startTime: [0, 0] as [number, number], endTime: [0, 0] as [number, number] },
        value: { buckets: { boundaries: [...boundaries], counts: boundaries.map(() => 0) }, sum: 0, count: 0 },
      },
    ],
  }));
  const families = new MetricFamilies(silentLogger).of([{ scope: { name: "" }, metrics }]);
  const text = [...exposition({ resource: {}, families }, format)].join("");
  return Array.from(text.matchAll(/le="([^"]*)"/g), ([, bound = ""]) => bound);
}

describe("sloRules", () => {
  it("makes rules for each promise, also for Prometheus", () => {
    const validator = createValidator();
    const rules = sloRules(target);
    expect(rules.map(({ name }) => name)).toEqual([
      "SloAvailabilityFast_a_v1_Video_Paint",
      "SloAvailabilitySlow_a_v1_Video_Paint",
      "SloAvailabilityDay_a_v1_Video_Paint",
      "SloAvailabilityDays_a_v1_Video_Paint",
      "SloLatencyFast_a_v1_Video_Paint",
      "SloLatencySlow_a_v1_Video_Paint",
      "SloLatencyDay_a_v1_Video_Paint",
      "SloLatencyDays_a_v1_Video_Paint",
    ]);
    for (const rule of rules) {
      expect(validator.validate(AlertRuleSchema, rule)).toMatchObject({ kind: "valid" });
      expect(rulePromql(resolveRule(rule))).toHaveLength(1);
    }
    expect(sloRules({ workflow })).toEqual([]);
  });

  it.each([0.5, 60])("asks Prometheus for the bucket of %d s by what either format of /metrics calls it", (seconds) => {
    const [rule] = sloRules({ workflow, latency: { seconds, objective: 0.9 } });
    const [alert] = rule === undefined ? [] : (rulePromql(resolveRule(rule)) ?? []);
    const [, regular, quoted = '""'] = /le=(~?)("[^"]*")/.exec(alert?.expression ?? "") ?? [];
    const asked: string = JSON.parse(quoted);
    expect(regular).toBe(seconds === 60 ? "~" : "");
    const instruments = new Instruments(10);
    instruments.histogram({ name: "retake.run.duration", unit: "s", description: "" }, [seconds]).of().record(1);
    for (const format of ["prometheus", "openmetrics"] as const) {
      expect(bounds(instruments, format).filter((bound) => new RegExp(`^(?:${asked})$`).test(bound))).toHaveLength(1);
    }
  });

  it("fires when the budget burns too fast, in the long window and in the short one", async () => {
    const [hour, day] = [60, 24 * 60];
    expect(await firing([4 * day, 0.009])).toEqual([]);
    expect(await firing([hour, 0.2])).toEqual(["Fast critical"]);
    expect(await firing([hour, 0.6])).toEqual(["Fast critical", "Slow critical"]);
    expect(await firing([6 * hour, 0.07])).toEqual(["Slow critical"]);
    expect(await firing([day, 0.035])).toEqual(["Day warning", "Days warning"]);
    expect(await firing([12 * hour, 0.05])).toEqual([]);
    expect(await firing([3 * day, 0.012])).toEqual(["Days warning"]);
    // It was bad, and is no more; it is bad, and has not cost much yet.
    expect(await firing([hour, 0.2], [5, 0])).toEqual([]);
    expect(await firing([day, 0.04], [7 * hour, 0])).toEqual([]);
    expect(await firing([5, 0.5])).toEqual([]);
  });
});
