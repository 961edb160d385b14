import { parked } from "../bodies.ts";
import type { Outcome } from "../handler.ts";
import type { RunRecord } from "../run-record.ts";
import type { Breaker } from "./breaker.ts";

/**
 * Parks a run until its breaker wakes it. No time is journaled: thousands would wake at it, to be parked again.
 *
 * @param leavesOnOpen it does not wait for an open breaker, and is woken when this one opens
 */
export function holdAtBreaker(
  breaker: Breaker,
  { accepted, createTimeMs }: Pick<RunRecord, "accepted" | "createTimeMs">,
  reason: string,
  leavesOnOpen = false,
): Outcome {
  breaker.hold(accepted.runId, accepted.priority, createTimeMs, leavesOnOpen);
  return { kind: "waiting", wakeAtMs: undefined, events: [parked("breaker", reason)] };
}
