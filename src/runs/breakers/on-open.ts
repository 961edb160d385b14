import { type Accepted, RunMode } from "../../../gen/retake/v1/run_pb.js";
import type { Policy } from "../../contract/index.ts";
import { untriedFallbacks } from "../fallback-tries.ts";
import type { RunRecord } from "../run-record.ts";

/** Whether a run that meets an open breaker fails at once, where it has no fallback left. */
export function failsOnOpen({ mode }: Pick<Accepted, "mode">, { circuitBreaker }: Policy): boolean {
  const onOpen = circuitBreaker?.onOpen;
  return onOpen === "fail" || (onOpen === "by-mode" && mode === RunMode.ATTACHED);
}

/** Whether a run does not wait for an open breaker: it turns to a fallback, or fails. */
export function leavesOnOpen(run: RunRecord, policy: Policy): boolean {
  return failsOnOpen(run.accepted, policy) || untriedFallbacks(run, policy).length > 0;
}
