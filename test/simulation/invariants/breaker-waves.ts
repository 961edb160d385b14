import type { MethodName } from "../plan/plan.ts";
import { assert, type Invariant } from "../world/witness.ts";
import { BreakerStates } from "./breaker-states.ts";
import { OpenAttempts } from "./open-attempts.ts";

/** What has happened since a breaker has closed. */
interface Tide {
  started: number;
  /** Those among them that it has held. */
  startedHeld: number;
  /** Attempts that have ended, and runs that no wave waits for any more. */
  over: number;
}

/** Whatever happens to a run that was let through, but the beginning of its attempt. */
const leaves: ReadonlySet<string | undefined> = new Set([
  "attemptFailed",
  "succeeded",
  "cancelRequested",
  "expired",
  "failed",
  "parked",
  "fallbackStarted",
]);

export const breakerWaves: Invariant = {
  name: "runs that a breaker has held go on in waves, each at most twice as large as the one before",
  witness: (world) => {
    const { plan, clock } = world;
    const states = new BreakerStates(clock);
    const attempts = new OpenAttempts(world);
    const tides = new Map<MethodName, Tide>();
    /** Runs that are parked by breakers. */
    const held = new Set<string>();
    /** Runs that it has let go, and that have not begun. */
    const letGo = new Set<string>();
    return {
      starting(left) {
        states.starting(left);
        attempts.starting();
        // Those who were held take their places anew, and come from there when they are read.
        tides.clear();
      },
      called: (sight) => attempts.called(sight),
      transitioned(method, event) {
        states.transitioned(method, event);
        tides.set(method, { started: 0, startedHeld: 0, over: 0 });
      },
      appended(runId, events) {
        for (const event of events) {
          const { case: kind } = event.event;
          attempts.take(runId, event);
          const method = attempts.methodOf(runId);
          const tide = tides.get(method);
          if (event.event.case === "parked" && event.event.value.gate === "breaker") {
            held.add(runId);
          } else if (kind !== "orphaned" && kind !== "rejoined") {
            if (held.delete(runId) && kind === "woken") {
              letGo.add(runId);
            }
          }
          if (tide === undefined || states.of(method).state !== "closed") {
            continue;
          }
          if (leaves.has(kind)) {
            tide.over += 1;
          } else if (kind === "attemptStarted") {
            tide.started += 1;
            tide.startedHeld += letGo.delete(runId) ? 1 : 0;
            const { sinceMs } = states.of(method);
            const resetTimeoutMs = plan.policies[method].breaker?.resetTimeoutMs ?? 0;
            const ending = attempts.open.filter((open) => open.method === method && attempts.mayBeOver(open)).length;
            // After 1, 3, 7, … of them as many and one more are let through.
            const most = 2 * (tide.over + ending) + 1;
            const waiting = [...held].filter((other) => attempts.methodOf(other) === method).length;
            const isHolding =
              waiting > Math.max(0, most - tide.startedHeld) && clock.monotonic() - sinceMs < resetTimeoutMs;
            assert(
              !isHolding || tide.started <= most,
              `run ${runId} is number ${tide.started} to begin since the breaker of ${method} has closed, ${tide.over} are over, and ${waiting} wait`,
            );
          }
        }
      },
    };
  },
};
