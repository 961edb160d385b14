import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { Quality } from "../../../gen/retake/v1/options_pb.js";
import { type Run, RunMode, RunState, type RunWait } from "../../../gen/retake/v1/run_pb.js";
import { statisticsText } from "./event-text.ts";
import { failureDetails, failureText } from "./failure-text.ts";
import { plainText } from "./plain-text.ts";
import { progressText } from "./progress-text.ts";
import { showDistance, showTime, timestampMs } from "./times.ts";

/** Everything that is known of a run but its messages and events, a line each. */
export function runLines(run: Run, nowMs: number): string[] {
  const { wait, failure, owner, minQuality, orphanedUntil } = run;
  const at = (timestamp: Timestamp | undefined): string =>
    timestamp === undefined
      ? ""
      : `${showTime(timestampMs(timestamp))} (${showDistance(timestampMs(timestamp), nowMs)})`;
  const facts: readonly (readonly [string, string])[] = [
    ["Run", run.runId],
    ["Workflow", run.workflow],
    ["State", RunState[run.state]],
    ["Progress", progressText(run.progress)],
    ["Waits for", wait === undefined ? "" : `${plainText(wait.gate)}: ${plainText(wait.reason)}`],
    ["Held by", heldBy(wait)],
    ["Waits since", at(wait?.since)],
    ["Not before", at(wait?.notBefore)],
    [run.state === RunState.FAILED ? "Failure" : "Last failure", failure === undefined ? "" : failureText(failure)],
    ...(failure === undefined ? [] : failureDetails(failure).map((line) => ["", line] as const)),
    ["Cancelled", plainText(run.cancelReason)],
    ["Took", statisticsText(run.statistics)],
    ["Accepted", at(run.createTime)],
    ["Started", at(run.startTime)],
    ["Ended", at(run.endTime)],
    ["Deadline", run.endTime === undefined ? at(run.deadline) : ""],
    ["Orphaned", orphanedUntil === undefined ? "" : `cancelled unless a caller comes back: ${at(orphanedUntil)}`],
    ["Owner", owner === undefined ? "" : plainText(`${owner.subject} (tenant ${owner.tenant})`)],
    ["Key", plainText(run.idempotencyKey)],
    ["Mode", run.mode === RunMode.UNSPECIFIED ? "" : RunMode[run.mode].toLowerCase().replaceAll("_", ", ")],
    ["Priority", run.priority === 0 ? "" : String(run.priority)],
    ["Min. quality", minQuality === Quality.UNSPECIFIED ? "" : Quality[minQuality]],
    ["Rerun of", run.rerunOf],
    ["Child of", run.parentRunId && `${run.parentRunId}, as "${plainText(run.childName)}"`],
  ];
  const width = Math.max(...facts.map(([name]) => name.length));
  return facts.filter(([, fact]) => fact !== "").map(([name, fact]) => `${name.padEnd(width)}  ${fact}`);
}

function heldBy(wait: RunWait | undefined): string {
  if (wait === undefined || wait.holders.length === 0) {
    return "";
  }
  const others = wait.holderCount - wait.holders.length;
  return `${wait.holders.join(", ")}${others > 0 ? `, and ${others} more` : ""}`;
}
