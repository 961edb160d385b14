import type { MethodName } from "../plan/plan.ts";
import { methodOf } from "../world/history.ts";
import { assert, type Invariant } from "../world/witness.ts";
import { promptMs } from "./times.ts";

/** A run, as long as it waits for its first permit. */
interface Waiting {
  readonly runId: string;
  readonly method: MethodName;
  readonly owner: string;
  readonly priority: number;
  readonly sinceMs: number;
  /** How often each of the others has gone since then. */
  readonly passed: Map<string, number>;
}

/** One that has its place already may come to its attempt later. */
const mostTurns = 2;

export const fairness: Invariant = {
  name: "principals take turns where their runs of one workflow and one priority wait",
  witness: ({ plan, clock, chronicle }) => {
    /** In the order in which they came. */
    const waiting = new Map<string, Waiting>();
    const runs = new Map<string, Pick<Waiting, "method" | "owner" | "priority">>();
    return {
      starting() {
        // Nobody knows who came first.
        waiting.clear();
      },
      refused(runId) {
        const again = waiting.get(runId);
        if (again !== undefined) {
          // It may have been its attempt: now it stands in line anew.
          waiting.delete(runId);
          waiting.set(runId, { ...again, sinceMs: clock.monotonic(), passed: new Map() });
        }
      },
      appended(runId, events) {
        const nowMs = clock.monotonic();
        for (const { event } of events) {
          if (event.case === "accepted") {
            const { workflow, owner, priority } = event.value;
            const run = { method: methodOf(workflow), owner: owner?.subject ?? "", priority };
            runs.set(runId, run);
            waiting.set(runId, { ...run, runId, sinceMs: nowMs, passed: new Map() });
            continue;
          }
          waiting.delete(runId);
          const run = runs.get(runId);
          if (event.case !== "attemptStarted" || run === undefined) {
            continue;
          }
          const { method, owner, priority } = run;
          // What a principal may have at once, and a breaker, hold some back and not others.
          if (
            plan.policies[method].concurrency?.perPrincipal !== undefined ||
            plan.policies[method].breaker !== undefined
          ) {
            continue;
          }
          const firsts = new Map<string, Waiting>();
          for (const each of waiting.values()) {
            if (each.method === method && each.priority === priority && !firsts.has(each.owner)) {
              firsts.set(each.owner, each);
            }
          }
          firsts.delete(owner);
          for (const first of firsts.values()) {
            if (nowMs - first.sinceMs < promptMs) {
              continue;
            }
            const turns = (first.passed.get(owner) ?? 0) + 1;
            first.passed.set(owner, turns);
            assert(
              turns <= mostTurns || !chronicle.isCalm(first.sinceMs, nowMs),
              () => `run ${first.runId} of ${first.owner} waits, and ${owner} has had ${turns} turns meanwhile`,
            );
          }
        }
      },
    };
  },
};
