import { type AttemptSight, assert, type Invariant } from "../world/witness.ts";
import { promptMs } from "./times.ts";

export const room: Invariant = {
  name: "no run waits for a permit while nothing works",
  witness: ({ chronicle }) => {
    const attempts: AttemptSight[] = [];
    return {
      called(attempt) {
        attempts.push(attempt);
      },
      concluded(history) {
        for (const { runId, events } of history.values()) {
          events.forEach(({ event, sequence }, index) => {
            const next = events[index + 1];
            if (!beginsToWait.has(event.case) || next === undefined) {
              return;
            }
            const fromMs = chronicle.timeOf(runId, sequence);
            const toMs = chronicle.timeOf(runId, next.sequence);
            for (const sinceMs of [fromMs, ...attempts.map(({ endedMs }) => endedMs)]) {
              const untilMs = sinceMs + promptMs;
              const isWaiting = sinceMs >= fromMs && untilMs < toMs && chronicle.isCalm(sinceMs, untilMs);
              const isIdle = attempts.every(({ startedMs, endedMs }) => endedMs <= sinceMs || startedMs > untilMs);
              assert(!isWaiting || !isIdle, `run ${runId} waits after event ${sequence}, although nothing works`);
            }
          });
        }
      },
    };
  },
};

/** The run is QUEUED from then on, if nothing follows at once. */
const beginsToWait: ReadonlySet<string | undefined> = new Set(["accepted", "woken", "attemptFailed"]);
