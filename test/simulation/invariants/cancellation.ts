import { assert, type Invariant } from "../world/witness.ts";
import { promptMs } from "./times.ts";

export const cancellation: Invariant = {
  name: "a cancelled run ends within its grace",
  witness: ({ plan, chronicle }) => ({
    concluded(history) {
      for (const { runId, method, events } of history.values()) {
        const requested = events.find(({ event }) => event.case === "cancelRequested");
        if (requested === undefined) {
          continue;
        }
        const { cancelGraceMs } = plan.policies[method];
        const requestedMs = chronicle.timeOf(runId, requested.sequence);
        const dueMs = requestedMs + cancelGraceMs + promptMs;
        const end = events.at(-1);
        if (end !== undefined && chronicle.isCalm(requestedMs, dueMs)) {
          const tookMs = chronicle.timeOf(runId, end.sequence) - requestedMs;
          assert(
            tookMs <= cancelGraceMs + promptMs,
            `run ${runId} took ${tookMs} ms to be cancelled, not ${cancelGraceMs}`,
          );
        }
      }
    },
  }),
};
