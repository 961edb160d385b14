import type { RunHistory } from "../world/history.ts";
import { type AttemptSight, assert, type Invariant, type RecoverySight } from "../world/witness.ts";
import type { World } from "../world/world.ts";
import { promptMs } from "./times.ts";

export const room: Invariant = {
  name: "no run waits for a permit while nothing works",
  witness: (world) => {
    const { chronicle, plan } = world;
    const seen: (AttemptSight | RecoverySight)[] = [];
    return {
      called(attempt) {
        seen.push(attempt);
      },
      recovering(recovery) {
        seen.push(recovery);
      },
      concluded(history) {
        const attempts: readonly Span[] = [...seen, ...[...history.values()].flatMap((run) => hitAttempts(run, world))];
        if (plan.server.remotes !== undefined) {
          // Runs wait for endpoints to be healthy, too.
          return;
        }
        for (const { runId, events } of history.values()) {
          let isRetry = false;
          events.forEach(({ event, sequence }, index) => {
            const next = events[index + 1];
            isRetry ||= event.case === "attemptFailed" && event.value.counted;
            if (isRetry && plan.server.retryBudget !== undefined) {
              return;
            }
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
const beginsToWait: ReadonlySet<string | undefined> = new Set(["accepted", "woken", "attemptFailed", "recoveryActed"]);

interface Span {
  readonly startedMs: number;
  readonly endedMs: number;
}

/** Attempts that a drill has hit work, even if their back-end knows nothing of them. */
function hitAttempts({ runId, events }: RunHistory, { chronicle }: World): Span[] {
  return events.flatMap(({ event, sequence }, index) => {
    if (event.case !== "faultInjected") {
      return [];
    }
    const end = events.slice(index).find(({ event: { case: kind } }) => kind !== undefined && endsAttempt.has(kind));
    return {
      startedMs: chronicle.timeOf(runId, sequence),
      endedMs: end === undefined ? Number.POSITIVE_INFINITY : chronicle.timeOf(runId, end.sequence),
    };
  });
}

const endsAttempt: ReadonlySet<string> = new Set(["attemptFailed", "succeeded"]);
