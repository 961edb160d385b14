import type { FallbackTry } from "../../gen/retake/v1/run_pb.js";
import type { LiveRun } from "../runs/index.ts";

/**
 * Tells callers which fallback has answered, and why those before it have not: `retake-fallback` with its workflow, and
 * `retake-fallback-reason` with one `workflow=REASON` each, the called one first.
 */
export function tellFallback({ record }: LiveRun, ...metadata: readonly Headers[]): void {
  if (record.fallbackUsed === "") {
    return;
  }
  const [first] = record.fallbacks.filter(({ runId }) => runId !== "");
  const reasons = [
    [record.accepted.workflow, first === undefined ? "" : reasonOf(first.reason)],
    ...record.fallbacks.flatMap((one) => (one.outcome.case === "answered" ? [] : [[one.workflow, whyNot(one)]])),
  ];
  for (const headers of metadata) {
    headers.set("retake-fallback", record.fallbackUsed);
    headers.set("retake-fallback-reason", reasons.map(([workflow, reason]) => `${workflow}=${reason}`).join(", "));
  }
}

function whyNot({ outcome }: FallbackTry): string {
  return outcome.case === "failed" ? encodeURIComponent(outcome.value.reason) : "SKIPPED";
}

/** FallbackStarted says it first, then in words. */
function reasonOf(reason: string): string {
  return encodeURIComponent(reason.split(":", 1)[0] ?? "");
}
