import { WakeCause } from "../../../gen/retake/v1/run_pb.js";
import { msFromTimestamp } from "../../../src/runs/time.ts";
import { assert, type Invariant } from "../world/witness.ts";
import { promptMs, roundingMs } from "./times.ts";

export const waits: Invariant = {
  name: "waits are neither cut short nor forgotten",
  witness: ({ chronicle }) => ({
    concluded(history) {
      for (const { runId, events } of history.values()) {
        events.forEach(({ event, sequence, time }, index) => {
          if (event.case !== "retryScheduled") {
            return;
          }
          const where = `the wait of run ${runId} since event ${sequence}`;
          const over = events
            .slice(index + 1)
            .find(({ event: { case: kind } }) => kind !== "orphaned" && kind !== "rejoined");
          const wakeAtMs = msFromTimestamp(event.value.wakeAt);
          if (over?.event.case === "woken") {
            const wokenMs = msFromTimestamp(over.time);
            assert(
              over.event.value.cause === WakeCause.TIMER,
              `${where} was ended by ${WakeCause[over.event.value.cause]}`,
            );
            assert(
              wokenMs >= wakeAtMs - roundingMs,
              `${where} was to last until ${wakeAtMs}, and was over at ${wokenMs}`,
            );
          }
          const sinceMs = chronicle.timeOf(runId, sequence);
          const dueMs = sinceMs + wakeAtMs - msFromTimestamp(time);
          const isQuiet = chronicle.isSteady(sinceMs, dueMs + promptMs) && chronicle.isCalm(dueMs, dueMs + promptMs);
          if (over !== undefined && isQuiet) {
            const overMs = chronicle.timeOf(runId, over.sequence);
            assert(
              overMs <= dueMs + promptMs,
              `${where} was to last ${dueMs - sinceMs} ms, and lasted ${overMs - sinceMs}`,
            );
          }
        });
      }
    },
  }),
};
