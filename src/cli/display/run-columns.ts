import { type Run, RunState } from "../../../gen/retake/v1/run_pb.js";
import { failureText } from "./failure-text.ts";
import { plainText } from "./plain-text.ts";
import { progressText } from "./progress-text.ts";
import type { Column } from "./table.ts";
import { durationMs, showDistance, showDuration, showTime, timestampMs } from "./times.ts";

/** What a list says of runs. */
export function runColumns(nowMs: number): Column<Run>[] {
  return [
    // Whole, so that it can be copied.
    { title: "RUN", cell: ({ runId }) => runId },
    { title: "STATE", cell: ({ state }) => RunState[state] },
    {
      title: "ACCEPTED",
      cell: ({ createTime }) => (createTime === undefined ? "" : showTime(timestampMs(createTime))),
      spare: 3,
    },
    { title: "TOOK", cell: (run) => took(run, nowMs), spare: 2 },
    { title: "WORKFLOW", cell: ({ workflow }) => workflow, keep: "end" },
    { title: "MORE", cell: (run) => more(run, nowMs), keep: "start", spare: 1 },
  ];
}

function took({ createTime, endTime }: Run, nowMs: number): string {
  if (createTime === undefined) return "";
  return showDuration(Math.max(0, (endTime === undefined ? nowMs : timestampMs(endTime)) - timestampMs(createTime)));
}

function more(run: Run, nowMs: number): string {
  const { state, wait, progress, failure, cancelReason, statistics } = run;
  switch (state) {
    case RunState.RUNNING:
      return progressText(progress) || `attempt ${statistics?.attempts ?? 1}`;
    case RunState.QUEUED:
    case RunState.BACKING_OFF:
    case RunState.PARKED: {
      if (wait === undefined) return "";
      const due = wait.notBefore === undefined ? "" : ` (${showDistance(timestampMs(wait.notBefore), nowMs)})`;
      return `${plainText(wait.reason)}${due}`;
    }
    case RunState.FAILED:
      return failureText(failure);
    case RunState.CANCELLING:
    case RunState.CANCELLED:
      return plainText(cancelReason);
    case RunState.SUCCEEDED:
      return statistics?.executionTime === undefined ? "" : `ran ${showDuration(durationMs(statistics.executionTime))}`;
    default:
      return "";
  }
}
