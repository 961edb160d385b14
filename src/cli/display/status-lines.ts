import type { Duration } from "@bufbuild/protobuf/wkt";
import type { Alert } from "../../../gen/retake/v1/alert_pb.js";
import { BreakerMode, BreakerState } from "../../../gen/retake/v1/breaker_pb.js";
import { Quality } from "../../../gen/retake/v1/options_pb.js";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import {
  type BreakerSummary,
  type ComponentHealth,
  HealthComponent,
  HealthLevel,
  type RunTotals,
  type Status,
  type WorkflowStatus,
} from "../../../gen/retake/v1/status_pb.js";
import { alertStateText, alertWhy } from "./alert-text.ts";
import { showBytes } from "./byte-size.ts";
import { plainText } from "./plain-text.ts";
import { type Column, tableLines } from "./table.ts";
import { fitText } from "./text-width.ts";
import { durationMs, showClock, showDistance, showDuration, timestampMs } from "./times.ts";

export interface StatusFrame {
  /** The server that was asked. */
  readonly target: string;
  readonly nowMs: number;
  /** In columns. Infinity for as wide as it takes. */
  readonly width: number;
  /** In lines; what does not fit is left out, and counted. Infinity for all. */
  readonly height: number;
  /** Of what is wrong with the connection; empty while it holds. */
  readonly problem: string;
}

/** The status of a server as lines that fit: health first, then runs, alerts, breakers and workflows. */
export function statusLines(status: Status, frame: StatusFrame): string[] {
  const { width, height } = frame;
  const head = [
    titleLine(status, frame),
    ...(frame.problem === "" ? [] : [plainText(frame.problem)]),
    ...(status.serving ? [] : [`It takes no work: ${plainText(status.notServingReason)}`]),
    "",
    ...healthLines(status),
    ...totalLines(status),
  ].map((line) => fitText(line, width));
  const tables = [
    alertTable(status.alerts, width),
    tableOf(breakerColumns(frame.nowMs), status.breakers, width),
    tableOf(workflowColumns, status.workflows, width),
  ].filter((lines) => lines.length > 0);
  return fitted(head, tables, status.workflowCount - status.workflows.length, height);
}

/** Tables share the lines that are left, the first one first; each keeps its titles and a row as long as there is room. */
function fitted(head: readonly string[], tables: readonly string[][], unlisted: number, height: number): string[] {
  const lines = [...head];
  for (const [i, table] of tables.entries()) {
    const others = tables.length - i - 1;
    const room = height - lines.length - 1 - 3 * others;
    const left = i === tables.length - 1 ? Math.max(0, unlisted) : 0;
    if (table.length <= room && left === 0) {
      lines.push("", ...table);
    } else if (room >= 2) {
      const shown = table.slice(0, Math.min(table.length, room - 1));
      lines.push("", ...shown, `and ${table.length - shown.length + left} more`);
    }
  }
  return lines.slice(0, height);
}

function titleLine({ version, startTime, sampleTime, serving }: Status, { target, nowMs }: StatusFrame): string {
  const up = startTime === undefined ? "" : `, up ${showDuration(nowMs - timestampMs(startTime))}`;
  const sampled =
    sampleTime === undefined ? "no samples yet" : `sampled ${showDistance(timestampMs(sampleTime), nowMs)}`;
  return `Retake ${plainText(version)} at ${target}, ${serving ? "serving" : "NOT SERVING"}${up}, ${sampled}  ${showClock(nowMs)}`;
}

function healthLines({ health }: Status): string[] {
  if (health === undefined) return [];
  const { score, level, components, explanation } = health;
  const number = score === undefined ? "unknown" : `${score} of 100, ${levelText(level)}`;
  return [
    `Health   ${number}: ${plainText(explanation)}`,
    ...components.filter(({ deduction }) => deduction > 0).map(componentLine),
  ];
}

function componentLine({ component, score, deduction, explanation }: ComponentHealth): string {
  const name = (HealthComponent[component] ?? "").toLowerCase().replaceAll("_", " ");
  return `  -${String(deduction).padEnd(3)} ${name.padEnd(11)} ${String(score ?? "").padStart(3)}  ${plainText(explanation)}`;
}

function levelText(level: HealthLevel): string {
  return (HealthLevel[level] ?? "").toLowerCase();
}

function totalLines(status: Status): string[] {
  const { runs, journal, process } = status;
  return [
    ...(runs === undefined
      ? []
      : [`Runs     ${[openText(runs), rateText(runs)].join("; ")}`, `Took     ${timesText(runs)}`]),
    `Alerts   ${alertText(status)}`,
    ...(journal === undefined
      ? []
      : [
          `Journal  ${listed([
            journal.available ? "available" : `CANNOT BE WRITTEN: ${plainText(journal.error)}`,
            journal.p99CommitDuration && `99 % durable within ${duration(journal.p99CommitDuration)}`,
            sized(journal.sizeBytes, "in size"),
            sized(journal.diskFreeBytes, `of ${bytes(journal.diskSizeBytes)} free on its disk`),
          ])}`,
        ]),
    ...(process === undefined
      ? []
      : [
          `Process  ${listed([
            process.memoryBytes === undefined
              ? undefined
              : `memory ${bytes(process.memoryBytes)} of ${bytes(process.memoryLimitBytes)}`,
            process.heapBytes === undefined
              ? undefined
              : `heap ${bytes(process.heapBytes)} of ${bytes(process.heapLimitBytes)}`,
            process.eventLoopDelay && `event loop ${duration(process.eventLoopDelay)} late`,
            process.cpus === undefined ? undefined : `${process.cpus.toFixed(2)} processors`,
            process.watchers === undefined ? undefined : `${process.watchers} watching`,
          ])}`,
        ]),
  ];
}

function openText({ open, oldestQueued }: RunTotals): string {
  if (open.length === 0) return "none open";
  const counts = open.map(({ state, count }) => `${count} ${RunState[state]}`).join(", ");
  return oldestQueued === undefined ? counts : `${counts}, one QUEUED for ${duration(oldestQueued)}`;
}

function rateText({ startRate, endRate, retryRate, failedShare }: RunTotals): string {
  return listed([
    `${rate(startRate)} in`,
    `${rate(endRate)} out`,
    failedShare === undefined ? undefined : `${percent(failedShare)} failed`,
    retryRate > 0 ? `${rate(retryRate)} retried` : undefined,
  ]);
}

function timesText({ p50Duration, p95Duration, p99Duration }: RunTotals): string {
  if (p50Duration === undefined || p95Duration === undefined || p99Duration === undefined) {
    return "none has ended in the last five minutes";
  }
  return `50 % up to ${duration(p50Duration)}, 95 % up to ${duration(p95Duration)}, 99 % up to ${duration(p99Duration)}`;
}

function alertText({ alertCounts }: Status): string {
  if (alertCounts === undefined || !alertCounts.watched) return "nobody watches";
  const { critical, warning, pending, acknowledged, silenced } = alertCounts;
  const parts: readonly (readonly [number, string])[] = [
    [critical, "critical"],
    [warning, "warning"],
    [pending, "pending"],
    [acknowledged, "looked after"],
    [silenced, "silenced"],
  ];
  return listed(parts.map(([count, name]) => (count === 0 ? undefined : `${count} ${name}`))) || "none";
}

function alertTable(alerts: readonly Alert[], width: number): string[] {
  // The one that always fires is no news.
  return tableOf(
    alertColumns,
    alerts.filter(({ labels }) => labels["deadman"] !== "true"),
    width,
  );
}

function tableOf<Row>(columns: readonly Column<Row>[], rows: readonly Row[], width: number): string[] {
  return rows.length === 0 ? [] : tableLines(columns, rows, width).map((line) => fitText(line, width));
}

const alertColumns: readonly Column<Alert>[] = [
  { title: "ALERT", cell: alertStateText },
  { title: "RULE", cell: ({ rule }) => plainText(rule), keep: "start" },
  { title: "WHY", cell: alertWhy, keep: "start" },
];

function breakerColumns(nowMs: number): readonly Column<BreakerSummary>[] {
  return [
    { title: "BREAKER", cell: ({ workflow }) => workflow, keep: "end" },
    { title: "STATE", cell: breakerText },
    { title: "WAITING", cell: ({ waitingRuns }) => String(waitingRuns) },
    {
      title: "NEXT",
      cell: ({ notBefore }) => (notBefore === undefined ? "" : showDistance(timestampMs(notBefore), nowMs)),
      spare: 1,
    },
  ];
}

function breakerText({ state, mode }: BreakerSummary): string {
  const text = breakerStates[state];
  return mode === BreakerMode.AUTOMATIC ? text : `${text} (forced)`;
}

const breakerStates: Readonly<Record<BreakerState, string>> = {
  [BreakerState.UNSPECIFIED]: "",
  [BreakerState.CLOSED]: "closed",
  [BreakerState.HALF_OPEN]: "half-open",
  [BreakerState.OPEN]: "OPEN",
};

const workflowColumns: readonly Column<WorkflowStatus>[] = [
  { title: "WORKFLOW", cell: ({ workflow }) => workflow, keep: "end" },
  { title: "RUNNING", cell: ({ runs }) => countOf(runs, [RunState.RUNNING, RunState.DELEGATED]) },
  { title: "QUEUED", cell: ({ runs }) => countOf(runs, [RunState.QUEUED]) },
  { title: "HELD", cell: ({ runs }) => countOf(runs, [RunState.PARKED, RunState.BACKING_OFF]), spare: 3 },
  { title: "OUT", cell: ({ runs }) => (runs === undefined ? "" : rate(runs.endRate)), spare: 2 },
  { title: "FAILED", cell: ({ runs }) => (runs?.failedShare === undefined ? "" : percent(runs.failedShare)) },
  { title: "P95", cell: ({ runs }) => (runs?.p95Duration === undefined ? "" : duration(runs.p95Duration)) },
  { title: "", cell: remarks, keep: "start", spare: 1 },
];

/** What is out of the ordinary. */
function remarks({ breaker, quality, paused }: WorkflowStatus): string {
  return listed([
    paused ? "paused" : undefined,
    breaker === BreakerState.OPEN || breaker === BreakerState.HALF_OPEN
      ? `breaker ${breakerStates[breaker]}`
      : undefined,
    quality === Quality.FULL || quality === Quality.UNSPECIFIED ? undefined : `quality ${Quality[quality]}`,
  ]);
}

function countOf(runs: RunTotals | undefined, states: readonly RunState[]): string {
  const counts = runs?.open.filter(({ state }) => states.includes(state)) ?? [];
  return String(counts.reduce((sum, { count }) => sum + count, 0n));
}

function listed(parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined && part !== "").join(", ");
}

/** `0.3/s`, `12/min`: of what is rare, per minute says more. */
function rate(perSecond: number): string {
  if (perSecond >= 9.95) return `${Math.round(perSecond)}/s`;
  if (perSecond >= 0.95) return `${perSecond.toFixed(1)}/s`;
  const perMinute = 60 * perSecond;
  return `${perMinute >= 9.95 || perMinute === 0 ? Math.round(perMinute) : perMinute.toFixed(1)}/min`;
}

function percent(share: number): string {
  const value = 100 * share;
  return `${value === 0 || value >= 9.95 ? Math.round(value) : value.toFixed(1)} %`;
}

function duration(of: Duration): string {
  return showDuration(durationMs(of));
}

function sized(count: bigint | undefined, text: string): string | undefined {
  return count === undefined ? undefined : `${showBytes(Number(count))} ${text}`;
}

function bytes(count: bigint | undefined): string {
  return count === undefined ? "an unknown size" : showBytes(Number(count));
}
