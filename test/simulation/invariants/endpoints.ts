import { RecoveryAction } from "../../../gen/retake/v1/options_pb.js";
import { slotsOf } from "../plan/plan.ts";
import { assert, type Invariant } from "../world/witness.ts";
import { EndpointStates } from "./endpoint-states.ts";
import { promptMs } from "./times.ts";

export const endpoints: Invariant = {
  name: "no attempt is begun at an endpoint that is not healthy, or was taken out, or is avoided",
  witness: (world) => {
    const { plan, clock, chronicle } = world;
    if (plan.server.remotes === undefined) {
      return {};
    }
    const targets = [...slotsOf(plan.server).keys()];
    const states = new EndpointStates(world);
    /** What runs have switched from, for their next attempt. */
    const avoided = new Map<string, string>();
    /** How often each endpoint was connected by the server of the moment. */
    const connections = new Map<string, number>();
    /** Whether an endpoint has taken attempts for so long that everybody knows. */
    const isIn = (target: string): boolean =>
      target === "in-process" || clock.monotonic() - (states.inSince(target) ?? Number.POSITIVE_INFINITY) > promptMs;
    return {
      starting() {
        states.starting();
        connections.clear();
      },
      checked: (target, answer) => states.checked(target, answer),
      replied: (target, reply) => states.replied(target, reply),
      connected(target) {
        connections.set(target, (connections.get(target) ?? 0) + 1);
      },
      appended(runId, events) {
        const nowMs = clock.monotonic();
        for (const { event } of events) {
          if (event.case === "recoveryActed" && event.value.error === "") {
            const { action, endpoint } = event.value;
            if (action === RecoveryAction.SWITCH_ENDPOINT) {
              avoided.set(runId, endpoint);
            } else if (action === RecoveryAction.RECONNECT) {
              const count = connections.get(endpoint) ?? 0;
              assert(count > 1, `run ${runId} says that ${endpoint} was connected anew, and it was not`);
            }
          } else if (event.case === "attemptStarted") {
            const { endpoint, attempt } = event.value;
            const where = `attempt ${attempt} of run ${runId} is begun at ${endpoint}`;
            const outSince = endpoint === "in-process" ? undefined : states.outSince(endpoint);
            const isLate = outSince !== undefined && nowMs - outSince > promptMs && chronicle.isCalm(outSince, nowMs);
            assert(!isLate, () => `${where}, which takes none since ${nowMs - (outSince ?? 0)} ms`);
            const isAvoided = avoided.get(runId) === endpoint && chronicle.isCalm(nowMs - promptMs, nowMs);
            const other = isAvoided ? targets.find((target) => target !== endpoint && isIn(target)) : undefined;
            assert(other === undefined, `${where}, from which it has switched, and ${other} takes attempts`);
            avoided.delete(runId);
          }
        }
      },
    };
  },
};
