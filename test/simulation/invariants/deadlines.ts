import { msFromTimestamp } from "../../../src/runs/time.ts";
import { assert, type Invariant } from "../world/witness.ts";
import { promptMs, roundingMs } from "./times.ts";

export const deadlines: Invariant = {
  name: "a run expires at its deadline",
  witness: ({ plan, chronicle }) => ({
    concluded(history) {
      for (const { runId, method, accepted, events } of history.values()) {
        const allowedMs = msFromTimestamp(accepted.deadline) - msFromTimestamp(events[0]?.time);
        const { timeoutMs } = plan.policies[method];
        assert(
          accepted.parentRunId === ""
            ? Math.abs(allowedMs - timeoutMs) < roundingMs
            : allowedMs <= timeoutMs + roundingMs,
          `run ${runId} has ${allowedMs} ms, and its policy says ${timeoutMs}`,
        );
        const acceptedMs = chronicle.timeOf(runId, 1n);
        let isCancelling = false;
        for (const { event, sequence, time } of events) {
          isCancelling ||= event.case === "cancelRequested";
          const tookMs = chronicle.timeOf(runId, sequence) - acceptedMs;
          if (event.case === "expired") {
            // Timers do not see that the wall clock is set back.
            const isDue =
              msFromTimestamp(time) >= msFromTimestamp(accepted.deadline) - roundingMs ||
              tookMs >= allowedMs - roundingMs;
            assert(isDue, `run ${runId} expired after ${tookMs} ms, and had ${allowedMs}`);
          }
          // A child whose parent works on after the clock was set forward may have come too late; then it ends at once.
          const leftMs = Math.max(0, allowedMs);
          const dueMs = acceptedMs + leftMs;
          const isQuiet =
            chronicle.isSteady(acceptedMs, acceptedMs + tookMs) && chronicle.isCalm(dueMs, acceptedMs + tookMs);
          if (!isCancelling && tookMs > leftMs + promptMs && isQuiet) {
            assert(false, `run ${runId} goes on (${event.case}) after ${tookMs} ms, and had ${allowedMs}`);
          }
        }
      }
    },
  }),
};
