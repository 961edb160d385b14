import { Code } from "@connectrpc/connect";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import type { Failure, RunEvent } from "../../../gen/retake/v1/run_pb.js";
import { assert, type Invariant } from "../world/witness.ts";
import { BreakerStates } from "./breaker-states.ts";
import { OpenAttempts } from "./open-attempts.ts";
import { promptMs, roundingMs } from "./times.ts";

/** A run, as far as it may have taken a token. */
interface Retaken {
  failures: number;
  /** It may have been let through by now. */
  mayBeAdmitted: boolean;
}

export const retryBudget: Invariant = {
  name: "retries never exceed the tokens of their budget, over any time",
  witness: (world) => {
    const { plan, clock, disk } = world;
    const budget = plan.server.retryBudget;
    if (budget === undefined) {
      return {};
    }
    const { maxTokens, tokenRatio, tokenIntervalMs } = budget;
    const states = new BreakerStates(clock);
    const attempts = new OpenAttempts(world);
    const runs = new Map<string, Retaken>();
    /** Retries that go on, and hold a token each. */
    const retries = new Set<string>();
    let sinceMs = 0;
    let taken = 0;
    let returned = 0;
    /** The least that was out at any moment, with those that may have taken theirs before it and begun after it. */
    let least = 0;
    const out = (): number => taken - returned - (clock.monotonic() - sinceMs) / tokenIntervalMs;
    const take = (runId: string, { event }: RunEvent): void => {
      const run = runs.get(runId) ?? { failures: 0, mayBeAdmitted: false };
      runs.set(runId, run);
      run.failures += event.case === "attemptFailed" && event.value.counted ? 1 : 0;
      run.mayBeAdmitted = run.failures > 0 && !settled.has(event.case);
    };
    return {
      async starting(left) {
        states.starting(left);
        attempts.starting();
        runs.clear();
        retries.clear();
        // What an earlier server has left of it is as much as there may be, or less.
        [sinceMs, taken, returned, least] = [clock.monotonic(), 0, 0, 0];
        for (const runId of await disk.runIds()) {
          for (const event of await disk.events(runId)) {
            take(runId, event);
          }
        }
      },
      transitioned: (method, event) => states.transitioned(method, event),
      called: (sight) => attempts.called(sight),
      appended(runId, events) {
        for (const event of events) {
          least = Math.min(least, out() + [...runs.values()].filter(({ mayBeAdmitted }) => mayBeAdmitted).length);
          const ended = attempts.take(runId, event);
          const isRetry = (runs.get(runId)?.failures ?? 0) > 0;
          const body = event.event;
          if (ended !== undefined) {
            returned += body.case === "succeeded" ? tokenRatio : 0;
            const isSpent = body.case === "attemptFailed" && isToBlame(body.value.failure);
            returned += retries.delete(runId) && !isSpent ? 1 : 0;
          } else if (body.case === "attemptStarted" && isRetry) {
            const { state, sinceMs: stateMs } = states.of(attempts.methodOf(runId));
            // A trial needs none; it may have decided already.
            const isTrial = state === "half-open" || clock.monotonic() - stateMs < promptMs;
            if (plan.policies[attempts.methodOf(runId)].breaker === undefined || !isTrial) {
              taken += 1;
              retries.add(runId);
              const ending = attempts.open.filter((open) => open.runId !== runId && attempts.mayBeOver(open)).length;
              const most = least + maxTokens / 2 + 1 + ending * (1 + tokenRatio);
              assert(
                out() <= most + roundingMs,
                `run ${runId} is retaken, and its budget of ${maxTokens} tokens is spent: ${out()} are out, and ${most} may be`,
              );
            }
          }
          take(runId, event);
        }
      },
    };
  },
};

/** Whoever has come to this has no token that it has not used. */
const settled: ReadonlySet<string | undefined> = new Set([
  "attemptStarted",
  "succeeded",
  "failed",
  "cancelled",
  "expired",
  "cancelRequested",
  "fallbackStarted",
]);

const blamed: ReadonlySet<Code | undefined> = new Set([Code.Unavailable, Code.ResourceExhausted, Code.Internal]);

/** Whether a failure costs its token for good. Where that is not certain it is taken to come back. */
function isToBlame(failure: Failure | undefined): boolean {
  return blamed.has(failure?.code) && failure?.category !== FailureCategory.VALIDATION;
}
