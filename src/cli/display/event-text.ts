import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import { Quality, RecoveryAction } from "../../../gen/retake/v1/options_pb.js";
import {
  type AttemptStarted,
  type Payload,
  type RunEvent,
  RunState,
  type RunStatistics,
  type StepCompleted,
  WakeCause,
} from "../../../gen/retake/v1/run_pb.js";
import { failureText } from "./failure-text.ts";
import { plainText } from "./plain-text.ts";
import { progressText } from "./progress-text.ts";
import { durationMs, showDuration, showTime, timestampMs } from "./times.ts";

/** What happened, in one line. */
export function eventText({ event }: RunEvent): string {
  switch (event.case) {
    case "accepted": {
      const { owner, idempotencyKey, rerunOf, parentRunId, fallback } = event.value;
      return join(
        `accepted${owner === undefined ? "" : ` from ${plainText(owner.subject)}`}`,
        idempotencyKey && `key ${plainText(idempotencyKey)}`,
        parentRunId && `${fallback ? "fallback" : "child"} of ${parentRunId}`,
        rerunOf && `rerun of ${rerunOf}`,
      );
    }
    case "attemptStarted":
      return attemptText(event.value);
    case "attemptCheckpoint":
      return `attempt ${event.value.attempt} can be found again: the back-end gave its job a handle`;
    case "progressSampled":
      return labelled("progress", progressText(event.value.progress));
    case "updateRecorded":
      return `update recorded${payloadText(event.value.update)}`;
    case "stepCompleted":
      return stepText(event.value);
    case "childStarted":
      return `child "${plainText(event.value.name)}" started: ${event.value.workflow}, run ${event.value.childRunId}`;
    case "childEnded": {
      const { name, state, failure } = event.value;
      return `child "${plainText(name)}" ended ${RunState[state]}${failure === undefined ? "" : `: ${failureText(failure)}`}`;
    }
    case "attemptFailed": {
      const { attempt, failure, counted, executionTime } = event.value;
      const free = counted ? "" : " (spends no attempt)";
      return `attempt ${attempt} ended${after(executionTime)}${free}: ${failureText(failure)}`;
    }
    case "recoveryActed": {
      const { action, endpoint, error } = event.value;
      const outcome = error === "" ? "it helped" : `it did not help: ${plainText(error)}`;
      return `recovery ${RecoveryAction[action]}${endpoint && ` on ${plainText(endpoint)}`}: ${outcome}`;
    }
    case "faultInjected": {
      const { attempt, effect, faultId } = event.value;
      return `attempt ${attempt} is hit by a drill: ${plainText(effect)} (${plainText(faultId)})`;
    }
    case "fallbackSkipped":
      return `fallback ${event.value.workflow} passed over: ${plainText(event.value.reason)}`;
    case "retryScheduled":
      return `to be retaken${at(event.value.wakeAt)}: ${plainText(event.value.reason)}`;
    case "parked": {
      const { gate, reason, notBefore } = event.value;
      return join(
        `parked by ${plainText(gate)}: ${plainText(reason)}`,
        notBefore && `not before ${showTime(timestampMs(notBefore))}`,
      );
    }
    case "woken":
      return `woken by ${WakeCause[event.value.cause]?.toLowerCase() ?? "something new"}`;
    case "fallbackStarted": {
      const { workflow, childRunId, reason } = event.value;
      return `fallback ${workflow} takes over as run ${childRunId}: ${plainText(reason)}`;
    }
    case "fallbackEnded":
      return `fallback did not succeed: ${failureText(event.value.failure)}`;
    case "orphaned":
      return `its last caller has gone; it is cancelled${at(event.value.graceUntil)} unless one comes back`;
    case "rejoined":
      return "a caller has come back";
    case "cancelRequested": {
      const { requestedBy, reason } = event.value;
      return `cancellation asked for by ${plainText(requestedBy)}${reason && `: ${plainText(reason)}`}`;
    }
    case "succeeded":
      return labelled("succeeded", statisticsText(event.value.statistics));
    case "failed":
      return `failed: ${failureText(event.value.failure)}`;
    case "cancelled": {
      const { reason, acknowledged } = event.value;
      const grace = acknowledged ? "" : "; its back-end had not stopped when the time for that was over";
      return `cancelled${reason && `: ${plainText(reason)}`}${grace}`;
    }
    case "expired":
      return labelled("expired, its deadline has passed", statisticsText(event.value.statistics));
    case undefined:
      return "something that this version does not know";
  }
}

/** `1 attempt, ran 12 s, waited 3 ms, quality LOW, answered by the fallback …`. */
export function statisticsText(statistics: RunStatistics | undefined): string {
  if (statistics === undefined) return "";
  const { attempts, executionTime, queueTime, interruptions, steps, fallbackUsed, qualityAchieved } = statistics;
  return join(
    counted(attempts, "attempt"),
    executionTime && `ran ${showDuration(durationMs(executionTime))}`,
    queueTime && `queued ${showDuration(durationMs(queueTime))}`,
    steps > 0 && counted(steps, "step"),
    interruptions > 0 && counted(interruptions, "interruption"),
    qualityAchieved !== Quality.UNSPECIFIED &&
      qualityAchieved !== Quality.FULL &&
      `quality ${Quality[qualityAchieved]}`,
    fallbackUsed && `answered by the fallback ${fallbackUsed}`,
  );
}

export function counted(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? "" : "s"}`;
}

function attemptText({ attempt, endpoint, quality, changedFields }: AttemptStarted): string {
  const lowered = quality === Quality.UNSPECIFIED || quality === Quality.FULL;
  return join(
    `attempt ${attempt} started on ${plainText(endpoint) || "an unnamed endpoint"}`,
    !lowered && `at quality ${Quality[quality]}`,
    changedFields.length > 0 && `with other ${changedFields.map(plainText).join(" and ")}`,
  );
}

function stepText({ name, executionTime, tries, keptFrom }: StepCompleted): string {
  const took = keptFrom === "" ? after(executionTime) : ` before, in run ${keptFrom}`;
  return join(`step "${plainText(name)}" done${took}`, tries > 1 && `at try ${tries}`);
}

function payloadText(payload: Payload | undefined): string {
  return payload === undefined ? "" : `: ${payload.typeName}, ${payload.size} bytes`;
}

function after(duration: Duration | undefined): string {
  return duration === undefined ? "" : ` after ${showDuration(durationMs(duration))}`;
}

function at(timestamp: Timestamp | undefined): string {
  return timestamp === undefined ? "" : ` at ${showTime(timestampMs(timestamp))}`;
}

function labelled(label: string, text: string): string {
  return text === "" ? label : `${label}: ${text}`;
}

function join(...parts: readonly (string | false | undefined)[]): string {
  return parts.filter(Boolean).join(", ");
}
