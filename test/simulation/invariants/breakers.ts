import { assert, type Invariant } from "../world/witness.ts";
import { BreakerStates } from "./breaker-states.ts";
import { OpenAttempts } from "./open-attempts.ts";

export const breakers: Invariant = {
  name: "nobody calls a back-end whose breaker is open, but for one trial at a time",
  witness: (world) => {
    const { plan, clock } = world;
    const states = new BreakerStates(clock);
    const attempts = new OpenAttempts(world);
    return {
      starting(left) {
        states.starting(left);
        attempts.starting();
      },
      transitioned: (method, event) => states.transitioned(method, event),
      called: (sight) => attempts.called(sight),
      appended(runId, events) {
        for (const event of events) {
          if (event.event.case === "attemptStarted" && plan.policies[attempts.methodOf(runId)].breaker !== undefined) {
            const method = attempts.methodOf(runId);
            const { state, sinceMs } = states.of(method);
            const where = `attempt ${event.event.value.attempt} of run ${runId}`;
            assert(state !== "open", `${where} begins while the breaker of ${method} is open`);
            const other = attempts.open.find(
              (open) => open.method === method && open.startedMs >= sinceMs && !attempts.mayBeOver(open),
            );
            assert(
              state !== "half-open" || other === undefined,
              `${where} begins while run ${other?.runId} is the trial of the breaker of ${method}`,
            );
          }
          attempts.take(runId, event);
        }
      },
    };
  },
};
