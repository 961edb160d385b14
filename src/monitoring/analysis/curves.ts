import type { LabelMatcher } from "../series/matcher.ts";
import type { AnomalyOptions } from "./anomaly.ts";
import type { Shown } from "./explain.ts";
import { categoryLabel, only, stateLabel, workflowLabel } from "./labels.ts";
import type { StepReader } from "./step-reader.ts";
import type { Steps } from "./steps.ts";
import type { TrendOptions } from "./trend.ts";

/** The course of something that operators look at, and what is looked for in it. */
export interface Curve extends Shown {
  /** Those that belong into one picture have the same. */
  readonly id: string;
  /** Which one of several; empty for the only one. */
  readonly name: string;
  readonly steps: Steps;
  /** Whether it is one to look at; others are looked into only. */
  readonly isShown: boolean;
  readonly trend?: TrendOptions;
  readonly anomaly?: AnomalyOptions;
}

/** How many workflows have curves of their own: those with the most runs. */
export const mostCurvedWorkflows = 8;

/** More lines than that are nothing to look at. */
const mostLines = 5;

const MiB = 2 ** 20;

/** @param workflows those that have curves of their own, the one with the most runs first */
export async function readCurves(reader: StepReader, workflows: readonly string[]): Promise<Curve[]> {
  return [...(await runCurves(reader, workflows)), ...(await machineCurves(reader))];
}

async function runCurves(reader: StepReader, workflows: readonly string[]): Promise<Curve[]> {
  const ended = await reader.counter("retake_runs_ended_total", stateLabel);
  const started = await reader.counter("retake_runs_started_total");
  const open = await reader.gauge("retake_runs_open", stateLabel);
  const failures = await reader.counter("retake_attempt_failures_total", categoryLabel);
  const curves: Curve[] = [
    ...states(ended).map(
      ([name, steps]): Curve => ({
        ...{ id: "runs_ended", title: "ended runs", name, unit: "{run}/min", isShown: true, steps: perMinute(steps) },
      }),
    ),
    ...[...started.values()].map(
      (steps): Curve => ({
        ...{ id: "runs_started", title: "started runs", name: "", unit: "{run}/min", isShown: false },
        steps: perMinute(steps),
        anomaly: { floor: 10 },
      }),
    ),
    ...states(open).map(
      ([name, steps]): Curve => ({
        ...{ id: "runs_open", title: "open runs", name, unit: "{run}", isShown: true, steps },
      }),
    ),
    ...[...failures].map(
      ([name, steps]): Curve => ({
        ...{ id: "attempt_failures", title: "failed attempts", name, unit: "{failure}/min", isShown: true },
        steps: perMinute(steps),
        trend: { least: 5 },
        anomaly: { floor: 5, side: "above" },
      }),
    ),
  ];
  for (const [index, workflow] of workflows.slice(0, mostCurvedWorkflows).entries()) {
    curves.push(...(await workflowCurves(reader, workflow, index < mostLines)));
  }
  return curves;
}

async function workflowCurves(reader: StepReader, workflow: string, isShown: boolean): Promise<Curve[]> {
  const own = only(workflowLabel, workflow);
  const succeeded = [own, only(stateLabel, "SUCCEEDED")];
  const p95 = await reader.quantile("retake_run_duration_seconds", 0.95, succeeded);
  const queued = await reader.gauge("retake_runs_open", undefined, [own, only(stateLabel, "QUEUED")]);
  const failed = await failedShare(reader, own);
  const curves: Curve[] = [];
  if (p95 !== undefined) {
    const usual = p95.values.find((value) => !Number.isNaN(value)) ?? 0;
    curves.push({
      ...{
        id: "run_duration_p95",
        title: "run duration, 95th percentile",
        name: workflow,
        unit: "s",
        isShown,
        steps: p95,
      },
      trend: { least: 0.25 + 0.25 * usual },
      anomaly: { floor: 0.5, side: "above" },
    });
  }
  for (const steps of queued.values()) {
    curves.push({
      ...{ id: "runs_queued", title: "waiting runs", name: workflow, unit: "{run}", isShown: false, steps },
      trend: { least: 10 },
      anomaly: { floor: 20, side: "above" },
    });
  }
  if (failed !== undefined) {
    curves.push({
      ...{
        id: "failed_share",
        title: "share of failed runs",
        name: workflow,
        unit: "1",
        isShown: false,
        steps: failed,
      },
      trend: { least: 0.05 },
      anomaly: { floor: 0.1, side: "above" },
    });
  }
  return curves;
}

async function machineCurves(reader: StepReader): Promise<Curve[]> {
  const gauge = async (metric: string): Promise<Steps | undefined> => (await reader.gauge(metric)).get("");
  const curves: Curve[] = [];
  const add = (curve: Omit<Curve, "steps" | "name">, steps: Steps | undefined, name = ""): void => {
    if (steps?.values.some((value) => !Number.isNaN(value)) === true) curves.push({ ...curve, name, steps });
  };
  const delay = { id: "event_loop_delay", title: "event-loop delay", unit: "s", isShown: true };
  add(
    { ...delay, trend: { least: 0.05 }, anomaly: { floor: 0.1, side: "above" } },
    await gauge("nodejs_eventloop_delay_p99_seconds"),
  );
  const commit = { id: "journal_commit_p99", title: "commit duration, 99th percentile", unit: "s", isShown: true };
  add(
    { ...commit, trend: { least: 0.05 }, anomaly: { floor: 0.1, side: "above" } },
    await reader.quantile("retake_journal_commit_duration_seconds", 0.99),
  );
  for (const [name, used, limit] of [
    ["process", "process_memory_usage_bytes", "retake_memory_limit_bytes"],
    ["heap", "retake_heap_used_bytes", "retake_heap_limit_bytes"],
  ] as const) {
    const most = lastKnown(await gauge(limit));
    const memory = { id: "memory", title: "memory in use", unit: "By", isShown: true };
    add(
      {
        ...memory,
        trend: { least: Math.max(64 * MiB, 0.05 * (most ?? 0)), ...(most !== undefined && { limit: most }) },
        anomaly: { floor: Math.max(256 * MiB, 0.1 * (most ?? 0)), side: "above" },
      },
      await gauge(used),
      name,
    );
  }
  const size = lastKnown(await gauge("retake_disk_size_bytes")) ?? 0;
  const free = { id: "disk_free", title: "free disk space", unit: "By", isShown: true };
  add({ ...free, trend: { least: 0.01 * size, limit: 0 } }, await gauge("retake_disk_free_bytes"));
  const journal = { id: "journal_size", title: "size of the journal", unit: "By", isShown: true };
  add({ ...journal, trend: { least: 64 * MiB } }, await gauge("retake_journal_size_bytes"));
  return curves;
}

async function failedShare(reader: StepReader, own: LabelMatcher): Promise<Steps | undefined> {
  const ended = (await reader.counter("retake_runs_ended_total", undefined, [own])).get("");
  const bad: LabelMatcher = { label: stateLabel, operator: "=~", value: "FAILED|EXPIRED" };
  const failed = (await reader.counter("retake_runs_ended_total", undefined, [own, bad])).get("");
  if (ended === undefined || failed === undefined) return undefined;
  return { ...ended, values: ended.values.map((all, i) => (all > 0 ? (failed.values[i] || 0) / all : Number.NaN)) };
}

/** Without those in which nothing ever was. */
function states(byState: ReadonlyMap<string, Steps>): [string, Steps][] {
  return [...byState].filter(([, { values }]) => values.some((value) => value > 0));
}

function perMinute(steps: Steps): Steps {
  return { ...steps, values: steps.values.map((value) => (value * 60_000) / steps.stepMs) };
}

function lastKnown(steps: Steps | undefined): number | undefined {
  return steps?.values.findLast((value) => !Number.isNaN(value));
}
