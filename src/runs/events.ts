import { fromBinary } from "@bufbuild/protobuf";
import type { Quality } from "../../gen/retake/v1/options_pb.js";
import {
  type Payload,
  type RunEvent,
  RunEventSchema,
  RunMode,
  type RunStatistics,
} from "../../gen/retake/v1/run_pb.js";
import type { JournalRecord } from "./ports/journal.ts";
import { IllegalEventError, type RunEventBody, type RunRecord } from "./run-record.ts";
import { durationFromMs, timestampFromMs } from "./time.ts";

/** An event with its number and time. */
export function numberedEvent(body: RunEventBody, sequence: number, timeMs: number): RunEvent {
  return {
    $typeName: "retake.v1.RunEvent",
    sequence: BigInt(sequence),
    time: timestampFromMs(timeMs),
    event: body,
  };
}

/** @throws IllegalEventError when the record is not an event, or not the one that its place says */
export function decodeEvent(stream: string, record: JournalRecord): RunEvent {
  let event: RunEvent;
  try {
    event = fromBinary(RunEventSchema, record.data);
  } catch (cause) {
    throw new IllegalEventError(`record ${record.sequence} of stream ${stream} is no event: the journal is damaged`, {
      cause,
    });
  }
  if (event.sequence !== BigInt(record.sequence)) {
    throw new IllegalEventError(
      `record ${record.sequence} of stream ${stream} holds event ${event.sequence}: the journal is damaged`,
    );
  }
  return event;
}

/** A reference to a message that is kept beside the journal. */
export function payloadOf(typeName: string, sha256: Uint8Array, size: number): Payload {
  return { $typeName: "retake.v1.Payload", typeName, sha256, size: BigInt(size) };
}

/** What a run took up to now, with `attemptMs` of its open attempt. */
export function runStatistics(
  run: RunRecord,
  more: {
    readonly attemptMs?: number;
    readonly nowMs?: number;
    readonly qualityAchieved?: Quality;
    readonly fallbackUsed?: string;
  } = {},
): RunStatistics {
  const queuedMs = run.state === 1 && more.nowMs !== undefined ? Math.max(0, more.nowMs - run.stateSinceMs) : 0;
  return {
    $typeName: "retake.v1.RunStatistics",
    attempts: run.attempts,
    retries: run.retries,
    interruptions: run.interruptions,
    executionTime: durationFromMs(run.executionMs + (more.attemptMs ?? 0)),
    queueTime: durationFromMs(run.queueMs + queuedMs),
    fallbackUsed: more.fallbackUsed ?? run.fallbackUsed,
    qualityAchieved: more.qualityAchieved ?? run.quality,
    steps: run.steps.size,
  };
}

/** Whether a run ends with its caller. */
export function endsWithCaller(run: RunRecord): boolean {
  return run.accepted.mode === RunMode.ATTACHED;
}
