import { assert, type Invariant } from "../world/witness.ts";
import { BreakerStates } from "./breaker-states.ts";
import { OpenAttempts } from "./open-attempts.ts";
import { promptMs } from "./times.ts";

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
          const method = event.event.case === "attemptStarted" ? attempts.methodOf(runId) : undefined;
          const policy = method && plan.policies[method].breaker;
          if (event.event.case === "attemptStarted" && method !== undefined && policy !== undefined) {
            const { state, sinceMs } = states.of(method);
            const where = `attempt ${event.event.value.attempt} of run ${runId}`;
            assert(state !== "open", `${where} begins while the breaker of ${method} is open`);
            const others = attempts.open.filter(
              (open) => open.method === method && open.startedMs >= sinceMs && !attempts.mayBeOver(open),
            );
            // Those that are not over for long may hang.
            const patienceMs = Math.max(policy.resetTimeoutMs, policy.windowMs);
            const hanging = Math.floor((clock.monotonic() - sinceMs + promptMs) / patienceMs);
            assert(
              state !== "half-open" || others.length <= hanging,
              `${where} begins while run ${others[0]?.runId} is the trial of the breaker of ${method}`,
            );
          }
          attempts.take(runId, event);
        }
      },
    };
  },
};
