import type { WorkflowPause } from "../../../gen/retake/v1/run_service_pb.js";
import { plainText } from "./plain-text.ts";
import { showTime, timestampMs } from "./times.ts";

/** ` by ana since 2026-11-22 10:02:13: new cards`, to go behind a word. */
export function pauseText(pause: WorkflowPause | undefined): string {
  if (pause === undefined) return "";
  const { pausedBy, pauseTime, reason } = pause;
  const since = pauseTime === undefined ? "" : ` since ${showTime(timestampMs(pauseTime))}`;
  return ` by ${plainText(pausedBy)}${since}${reason === "" ? "" : `: ${plainText(reason)}`}`;
}
