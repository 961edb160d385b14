import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  AttemptFailedSchema,
  CancelledSchema,
  CancelRequestedSchema,
  ExpiredSchema,
  FailedSchema,
  type Failure,
  FallbackEndedSchema,
  FallbackSkippedSchema,
  FallbackStartedSchema,
  OrphanedSchema,
  ParkedSchema,
  type Payload,
  RejoinedSchema,
  type RunStatistics,
  type WakeCause,
  WokenSchema,
} from "../../gen/retake/v1/run_pb.js";
import type { RunEventBody } from "./run-record.ts";
import { durationFromMs, timestampFromMs } from "./time.ts";

/** The events that turns and callers make, one function each. */

export function attemptFailed(attempt: number, failure: Failure, counted: boolean, executionMs: number): RunEventBody {
  return {
    case: "attemptFailed",
    value: create(AttemptFailedSchema, { attempt, failure, counted, executionTime: durationFromMs(executionMs) }),
  };
}

export function succeeded(result: Payload, statistics: RunStatistics): RunEventBody {
  return { case: "succeeded", value: { $typeName: "retake.v1.Succeeded", result, statistics } };
}

export function failed(failure: Failure, statistics: RunStatistics): RunEventBody {
  return { case: "failed", value: create(FailedSchema, { failure, statistics }) };
}

export function cancelRequested(requestedBy: string, reason: string): RunEventBody {
  return { case: "cancelRequested", value: create(CancelRequestedSchema, { requestedBy, reason }) };
}

export function cancelled(reason: string, acknowledged: boolean, statistics: RunStatistics): RunEventBody {
  return { case: "cancelled", value: create(CancelledSchema, { reason, acknowledged, statistics }) };
}

export function expired(statistics: RunStatistics): RunEventBody {
  return { case: "expired", value: create(ExpiredSchema, { statistics }) };
}

export function woken(cause: WakeCause): RunEventBody {
  return { case: "woken", value: create(WokenSchema, { cause }) };
}

export function parked(gate: string, reason: string, notBeforeMs?: number): RunEventBody {
  return {
    case: "parked",
    value: create(ParkedSchema, {
      gate,
      reason,
      ...(notBeforeMs === undefined ? {} : { notBefore: timestampFromMs(notBeforeMs) }),
    }),
  };
}

export function fallbackStarted(init: MessageInitShape<typeof FallbackStartedSchema>): RunEventBody {
  return { case: "fallbackStarted", value: create(FallbackStartedSchema, init) };
}

export function fallbackEnded(index: number, failure: Failure): RunEventBody {
  return { case: "fallbackEnded", value: create(FallbackEndedSchema, { index, failure }) };
}

export function fallbackSkipped(index: number, workflow: string, reason: string): RunEventBody {
  return { case: "fallbackSkipped", value: create(FallbackSkippedSchema, { index, workflow, reason }) };
}

export function orphaned(graceUntilMs: number): RunEventBody {
  return { case: "orphaned", value: create(OrphanedSchema, { graceUntil: timestampFromMs(graceUntilMs) }) };
}

export function rejoined(): RunEventBody {
  return { case: "rejoined", value: create(RejoinedSchema) };
}
