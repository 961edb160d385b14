import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { BreakerMode, BreakerState } from "../../../gen/retake/v1/breaker_pb.js";
import { Quality } from "../../../gen/retake/v1/options_pb.js";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import {
  type AlertCountsSchema,
  type BreakerSummarySchema,
  type HealthScore,
  HealthScoreSchema,
  type JournalHealthSchema,
  type ProcessHealthSchema,
  type RunTotalsSchema,
  type Status,
  StatusSchema,
  type WorkflowStatusSchema,
} from "../../../gen/retake/v1/status_pb.js";
import type { AssessedHealth } from "../../monitoring/health/index.ts";
import { perSecond, type RunFigures, type RunTimes, type ServerFigures } from "../../monitoring/status/index.ts";
import { durationFromMs, timestampFromMs } from "../../runs/index.ts";
import type { Alerts } from "../alerts.ts";
import type { StatusBoard } from "../status-board.ts";
import { alertMessage } from "./alert-messages.ts";

export interface StatusLimits {
  readonly maxWorkflows: number;
  readonly maxAlerts: number;
}

const mostBreakers = 1_000;

/** How the server is, for those who ask. */
export async function statusMessage(board: StatusBoard, { maxWorkflows, maxAlerts }: StatusLimits): Promise<Status> {
  const version = await board.version;
  const { engine, figures, alerts, startMs } = board;
  const notServingReason = board.notServingReason();
  const firing = alerts?.firing() ?? [];
  return create(StatusSchema, {
    time: timestampFromMs(engine.clock.now()),
    ...(figures && { sampleTime: timestampFromMs(figures.timeMs) }),
    startTime: timestampFromMs(startMs),
    version,
    serving: notServingReason === "",
    notServingReason,
    health: healthMessage(board.health()),
    ...(figures && { runs: totals(figures.allRuns, figures.times()) }),
    workflows: workflows(board).slice(0, maxWorkflows),
    workflowCount: engine.contracts.workflows.size,
    breakers: breakers(board).slice(0, mostBreakers),
    alertCounts: alertCounts(alerts),
    alerts: firing.slice(0, maxAlerts).map(({ listed }) => alertMessage(listed, alerts?.silencesOf(listed) ?? [])),
    journal: journal(board),
    ...(figures && { process: processHealth(figures) }),
  });
}

/** How well the server is, for those who ask. */
export function healthMessage({ score, level, components, limitedBy, explanation }: AssessedHealth): HealthScore {
  return create(HealthScoreSchema, {
    ...{ level, explanation, components: [...components] },
    ...(score !== undefined && { score }),
    ...(limitedBy !== undefined && { limitedBy }),
  });
}

function workflows({ engine, figures }: StatusBoard): MessageInitShape<typeof WorkflowStatusSchema>[] {
  const { contracts, breakers: known, qualityLevels, pauses } = engine;
  const busy = ({ name }: { readonly name: string }): readonly [open: number, ended: number] => {
    const runs = figures?.runs.get(name);
    return [runs === undefined ? 0 : openOf(runs), runs?.ended ?? 0];
  };
  return [...contracts.workflows.values()]
    .map((workflow) => ({ workflow, busy: busy(workflow) }))
    .sort((a, b) => b.busy[0] - a.busy[0] || b.busy[1] - a.busy[1] || (a.workflow.name < b.workflow.name ? -1 : 1))
    .map(({ workflow: { name, policy } }) => {
      const runs = figures?.runs.get(name);
      return {
        workflow: name,
        ...(runs && { runs: totals(runs, figures?.times(name)) }),
        ...(policy.circuitBreaker && { breaker: known.find(name)?.state ?? BreakerState.CLOSED }),
        quality: qualityLevels.of(name) || Quality.FULL,
        paused: pauses.of(name) !== undefined,
      };
    });
}

function totals(runs: RunFigures, times: RunTimes | undefined): MessageInitShape<typeof RunTotalsSchema> {
  const { open, started, ended, failed, retries, oldestQueuedSeconds } = runs;
  return {
    open: Array.from(open, ([state, count]) => ({
      state: RunState[state as keyof typeof RunState],
      count: BigInt(Math.round(count)),
    })).sort((a, b) => a.state - b.state),
    startRate: perSecond(started),
    endRate: perSecond(ended),
    ...(ended > 0 && { failedShare: Math.min(1, failed / ended) }),
    retryRate: perSecond(retries),
    ...(times && {
      p50Duration: seconds(times.p50Seconds),
      p95Duration: seconds(times.p95Seconds),
      p99Duration: seconds(times.p99Seconds),
    }),
    ...(oldestQueuedSeconds !== undefined && { oldestQueued: seconds(oldestQueuedSeconds) }),
  };
}

function openOf({ open }: RunFigures): number {
  return open.values().reduce((sum, count) => sum + count, 0);
}

function breakers({ engine }: StatusBoard): MessageInitShape<typeof BreakerSummarySchema>[] {
  return [...engine.contracts.workflows.values()]
    .flatMap(({ name, policy }) => {
      const breaker = policy.circuitBreaker && engine.breakers.find(name);
      if (breaker === undefined) return [];
      const { state, mode, backend, notBeforeMs, waiting } = breaker;
      if (state === BreakerState.CLOSED && mode === BreakerMode.AUTOMATIC) return [];
      return [
        {
          ...{ workflow: name, backend, state, mode, waitingRuns: BigInt(waiting) },
          ...(notBeforeMs !== undefined && { notBefore: timestampFromMs(notBeforeMs) }),
        },
      ];
    })
    .sort((a, b) => (a.workflow < b.workflow ? -1 : 1));
}

function alertCounts(alerts: Alerts | undefined): MessageInitShape<typeof AlertCountsSchema> {
  if (alerts === undefined) return { watched: false };
  const firing = alerts.firing();
  const count = (matches: (one: (typeof firing)[number]) => boolean): number => firing.filter(matches).length;
  return {
    watched: true,
    critical: count(({ severity }) => severity === "critical"),
    warning: count(({ severity, deadMan }) => severity === "warning" && !deadMan),
    pending: alerts.pending,
    acknowledged: count(({ listed }) => listed.acknowledgement !== undefined),
    silenced: count(({ listed }) => alerts.silencesOf(listed).length > 0),
  };
}

function journal({ engine, figures }: StatusBoard): MessageInitShape<typeof JournalHealthSchema> {
  const { status } = engine.journal;
  const p99 = figures?.p99CommitSeconds();
  return {
    available: status.kind === "available",
    error: status.kind === "failing" ? status.cause.message : "",
    ...(p99 !== undefined && { p99CommitDuration: seconds(p99) }),
    ...bytes("sizeBytes", figures?.latest("retake_journal_size_bytes")),
    ...bytes("diskFreeBytes", figures?.latest("retake_disk_free_bytes")),
    ...bytes("diskSizeBytes", figures?.latest("retake_disk_size_bytes")),
  };
}

function processHealth(figures: ServerFigures): MessageInitShape<typeof ProcessHealthSchema> {
  const delay = figures.latest("nodejs_eventloop_delay_p99_seconds");
  const utilization = figures.latest("nodejs_eventloop_utilization_ratio");
  const cpus = figures.rate("process_cpu_time_seconds_total");
  return {
    ...bytes("memoryBytes", figures.latest("process_memory_usage_bytes")),
    ...bytes("memoryLimitBytes", figures.latest("retake_memory_limit_bytes")),
    ...bytes("heapBytes", figures.latest("retake_heap_used_bytes")),
    ...bytes("heapLimitBytes", figures.latest("retake_heap_limit_bytes")),
    ...(delay !== undefined && { eventLoopDelay: seconds(delay) }),
    ...(utilization !== undefined && { eventLoopUtilization: utilization }),
    ...(cpus !== undefined && { cpus }),
    ...bytes("watchers", figures.latest("retake_watchers")),
  };
}

function bytes<Name extends string>(name: Name, value: number | undefined): Partial<Record<Name, bigint>> {
  return value === undefined ? {} : ({ [name]: BigInt(Math.round(value)) } as Record<Name, bigint>);
}

function seconds(value: number) {
  return durationFromMs(1_000 * (Number.isFinite(value) ? value : 0));
}
