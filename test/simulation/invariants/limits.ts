import { type Plan, slotsOf } from "../plan/plan.ts";
import { type AttemptSight, assert, type Invariant } from "../world/witness.ts";
import { stopReason } from "./stop-reason.ts";
import { roundingMs } from "./times.ts";

/** Why an attempt is told to stop that has had its time: its permit is given to others, whether it stops or not. */
const overtime: ReadonlySet<string> = new Set(["ATTEMPT_TIMEOUT", "STALLED", "DEADLINE"]);
/** How long one keeps it of whose run the journal has refused something: until that is read anew. */
const unjournaledMs = 200;

export const limits: Invariant = {
  name: "no more back-ends work at once than limits and slots allow",
  witness: ({ plan, clock }) => {
    let working: AttemptSight[] = [];
    /** When the journal has refused something, by run. */
    const refusalsMs = new Map<string, number[]>();
    const isOver = (sight: AttemptSight, nowMs: number): boolean => {
      const refusedMs =
        refusalsMs.get(sight.runId)?.find((atMs) => atMs >= sight.startedMs) ?? Number.POSITIVE_INFINITY;
      const isForgotten = stopReason(sight) !== undefined && refusedMs + unjournaledMs <= nowMs + roundingMs;
      return isForgotten || hasHadItsTime(sight, plan, nowMs);
    };
    return {
      refused(runId) {
        refusalsMs.set(runId, [...(refusalsMs.get(runId) ?? []), clock.monotonic()]);
      },
      called(attempt) {
        const nowMs = clock.monotonic();
        working = working.filter((other) => other.server === attempt.server && other.endedMs > nowMs);
        working.push(attempt);
        const holding = working.filter((other) => !other.isWaiting && !isOver(other, nowMs));
        const { concurrencyLimit } = plan.server;
        const { method } = attempt;
        const { limit = Number.POSITIVE_INFINITY, perPrincipal = Number.POSITIVE_INFINITY } =
          plan.policies[method].concurrency ?? {};
        const ofMethod = holding.filter((other) => other.method === method);
        const { owner, endpoint } = attempt;
        const ofOwner = ofMethod.filter((other) => other.owner === owner);
        const tooMany = (count: number, most: number, what: string): string =>
          `${count} attempts at ${what} work at once, and ${most} may (run ${attempt.runId}, attempt ${attempt.number})`;
        assert(holding.length <= concurrencyLimit, () => tooMany(holding.length, concurrencyLimit, "the server"));
        const atEndpoint = holding.filter((other) => other.endpoint === endpoint);
        const slots = slotsOf(plan.server).get(endpoint) ?? 0;
        assert(atEndpoint.length <= slots, () => tooMany(atEndpoint.length, slots, endpoint));
        assert(ofMethod.length <= limit, () => tooMany(ofMethod.length, limit, `workflow ${method}`));
        assert(ofOwner.length <= perPrincipal, () => tooMany(ofOwner.length, perPrincipal, `${method} for ${owner}`));
      },
    };
  },
};

/** Whether its time is over, or may be: then its permit may be somebody else's. */
function hasHadItsTime(sight: AttemptSight, plan: Plan, nowMs: number): boolean {
  const reason = stopReason(sight);
  if (reason === undefined) {
    return false;
  }
  // A call of a back-end elsewhere is over when the server ends it, whatever is done there.
  if (overtime.has(reason) || sight.endpoint !== "in-process") {
    return true;
  }
  const { method, startedMs, waitedMs, movedMs, deadlineMs } = sight;
  // Sums of fractions are off by a little.
  const soonMs = nowMs + roundingMs;
  const { attemptTimeoutMs = Number.POSITIVE_INFINITY, progressTimeoutMs = Number.POSITIVE_INFINITY } =
    plan.policies[method];
  return (
    soonMs - startedMs - waitedMs >= attemptTimeoutMs || soonMs - movedMs >= progressTimeoutMs || soonMs >= deadlineMs
  );
}
