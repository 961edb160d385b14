import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import {
  type Payload,
  PayloadSchema,
  type Run,
  RunSchema,
  RunState,
  type RunWait,
  RunWaitSchema,
} from "../../gen/retake/v1/run_pb.js";
import type { RunProgress } from "../../gen/retake/v1/run_service_pb.js";
import type { Breakers } from "./breakers/breakers.ts";
import { runStatistics } from "./events.ts";
import { type Pauses, pauseReason } from "./pauses.ts";
import type { Gates } from "./ports/gates.ts";
import type { Payloads } from "./ports/payloads.ts";
import type { RetryBudgets } from "./retry-budgets.ts";
import type { RunRecord } from "./run-record.ts";
import { timestampFromMs } from "./time.ts";

export interface RunViewOptions {
  readonly nowMs: number;
  readonly gates: Gates;
  readonly pauses: Pick<Pauses, "of">;
  /** Of no use for runs that have ended. */
  readonly breakers?: Pick<Breakers, "find">;
  readonly retryBudgets?: Pick<RetryBudgets, "place">;
  /** Why a run waits for its back-end to recover; undefined when it does not. */
  readonly recoveries?: { place(runId: string): { readonly reason: string } | undefined };
  /** What its back-end said last, or that of its fallback, where it is at hand. */
  readonly latestProgress?: RunProgress | undefined;
}

/** A run as callers see it: a view of its record, without the messages. */
export function viewRun(record: RunRecord, options: RunViewOptions): Run {
  const { nowMs, latestProgress } = options;
  const { accepted } = record;
  const run = create(RunSchema, {
    runId: accepted.runId,
    workflow: accepted.workflow,
    state: record.state,
    idempotencyKey: accepted.idempotencyKey,
    mode: accepted.mode,
    parentRunId: accepted.parentRunId,
    childName: accepted.childName,
    rerunOf: accepted.rerunOf,
    priority: accepted.priority,
    minQuality: accepted.minQuality,
    createTime: timestampFromMs(record.createTimeMs),
    lastSequence: BigInt(record.lastSequence),
    statistics: runStatistics(record, { nowMs }),
    cancelReason: record.cancelRequest?.reason ?? "",
    fallbacks: [...record.fallbacks],
  });
  if (accepted.owner !== undefined) {
    run.owner = accepted.owner;
  }
  if (accepted.input !== undefined) {
    run.input = withoutValue(accepted.input);
  }
  if (accepted.deadline !== undefined) {
    run.deadline = accepted.deadline;
  }
  if (record.startTimeMs !== undefined) {
    run.startTime = timestampFromMs(record.startTimeMs);
  }
  if (record.endTimeMs !== undefined) {
    run.endTime = timestampFromMs(record.endTimeMs);
  }
  if (record.failure !== undefined) {
    run.failure = record.failure;
  }
  if (record.orphanedUntilMs !== undefined) {
    run.orphanedUntil = timestampFromMs(record.orphanedUntilMs);
  }
  if (record.result !== undefined) {
    run.result = withoutValue(record.result);
  }
  if (record.state === RunState.RUNNING || record.state === RunState.DELEGATED) {
    const progress = latestProgress?.progress ?? (record.fallback === undefined ? record.progress : undefined);
    if (progress !== undefined) {
      run.progress = progress;
    }
  }
  const wait = waitOf(record, options);
  if (wait !== undefined) {
    run.wait = wait;
  }
  return run;
}

/** A payload with its message, as far as that still exists. */
export async function withValue(
  payload: Payload | undefined,
  runId: string,
  payloads: Payloads,
): Promise<Payload | undefined> {
  if (payload === undefined) {
    return undefined;
  }
  const bytes = await payloads.get(runId, payload.sha256);
  const full = withoutValue(payload);
  if (bytes !== undefined) {
    full.value = create(AnySchema, { typeUrl: `type.googleapis.com/${payload.typeName}`, value: bytes });
  }
  return full;
}

function withoutValue({ typeName, sha256, size }: Payload): Payload {
  return create(PayloadSchema, { typeName, sha256, size });
}

function waitOf(record: RunRecord, options: RunViewOptions): RunWait | undefined {
  const { gates, pauses } = options;
  const since = timestampFromMs(record.stateSinceMs);
  switch (record.state) {
    case RunState.QUEUED: {
      const place = gates.place(record.accepted.runId);
      const pause = pauses.of(record.accepted.workflow);
      if (pause !== undefined) {
        const reason = `${pauseReason(pause)}; it is parked when its turn comes`;
        return create(RunWaitSchema, { gate: "pause", reason, since });
      }
      const retry = options.retryBudgets?.place(record.accepted.runId);
      if (retry !== undefined) {
        const { reason, position, notBeforeMs } = retry;
        const notBefore = timestampFromMs(notBeforeMs);
        return create(RunWaitSchema, { gate: "retry_budget", reason, position, notBefore, since });
      }
      const recovery = options.recoveries?.place(record.accepted.runId);
      if (recovery !== undefined) {
        return create(RunWaitSchema, { gate: "recovery", reason: recovery.reason, since });
      }
      if (place === undefined) {
        return undefined;
      }
      const { gate, position, holders: holderCount } = place;
      const reason = `${place.reason}: ${position === 1 ? "it is next" : `number ${position} in line`}`;
      return create(RunWaitSchema, { gate, reason, position, holderCount, since });
    }
    case RunState.BACKING_OFF:
    case RunState.PARKED: {
      const atBreaker = record.wait?.gate === "breaker" ? breakerWait(record, options) : undefined;
      if (atBreaker !== undefined) {
        return atBreaker;
      }
      return create(RunWaitSchema, {
        gate: record.wait?.gate ?? "",
        reason: record.wait?.reason ?? "",
        since,
        ...(record.wakeAtMs === undefined ? {} : { notBefore: timestampFromMs(record.wakeAtMs) }),
      });
    }
    case RunState.DELEGATED: {
      const { workflow = "", childRunId = "" } = record.fallback ?? {};
      return create(RunWaitSchema, {
        gate: "fallback",
        reason: `its fallback ${workflow} works in its place, as run ${childRunId}`,
        since,
      });
    }
    default:
      return undefined;
  }
}

/** As its breaker stands now: since the run was parked it may have been tried in vain, or an operator may have come. */
function breakerWait({ accepted, stateSinceMs }: RunRecord, { breakers }: RunViewOptions): RunWait | undefined {
  const breaker = breakers?.find(accepted.workflow);
  const position = breaker?.position(accepted.runId);
  if (breaker === undefined || position === undefined) {
    return undefined;
  }
  const { reason, notBeforeMs } = breaker;
  return create(RunWaitSchema, {
    gate: "breaker",
    reason,
    position,
    since: timestampFromMs(stateSinceMs),
    ...(notBeforeMs === undefined ? {} : { notBefore: timestampFromMs(notBeforeMs) }),
  });
}
