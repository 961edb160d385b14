import type { RetentionPolicy } from "../gen/retake/v1/options_pb.js";
import { RunState } from "../gen/retake/v1/run_pb.js";

/** How many ended runs a policy keeps at most, by state; nothing where it does not say. */
export function mostKept(retention: RetentionPolicy | undefined): { readonly most?: ReadonlyMap<RunState, number> } {
  const given: readonly (readonly [RunState, number | undefined])[] = [
    [RunState.SUCCEEDED, retention?.maxSucceeded],
    [RunState.FAILED, retention?.maxFailed],
    [RunState.CANCELLED, retention?.maxCancelled],
    [RunState.EXPIRED, retention?.maxExpired],
  ];
  const most = new Map(given.flatMap(([state, count]) => (count === undefined ? [] : [[state, count] as const])));
  return most.size === 0 ? {} : { most };
}
