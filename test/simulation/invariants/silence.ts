import type { ProbesPlan } from "../plan/plan.ts";
import { type AttemptSight, assert, type Invariant } from "../world/witness.ts";
import { type OpenAttempt, OpenAttempts } from "./open-attempts.ts";
import { stopReason } from "./stop-reason.ts";
import { promptMs, roundingMs } from "./times.ts";

/** An answer is waited for this long, and a job asked about three times at most, with this in between. */
const answerMs = 5_000;
const pauseMs = 1_000;

/** How long it takes to find out whether a job lives. Two answers are enough where there are any. */
function asksMs(probes: ProbesPlan | undefined): number {
  if (probes === undefined) {
    return 0;
  }
  const { afterMs, isFailing } = probes;
  return isFailing || afterMs > answerMs ? 3 * Math.min(afterMs, answerMs) + 2 * pauseMs : 2 * afterMs + pauseMs;
}

/** What was answered about an attempt. */
interface Answers {
  readonly alive: number[];
  readonly dead: number[];
}

export const silence: Invariant = {
  name: "an attempt that is silent for too long is cut off, unless its job lives",
  witness: (world) => {
    const { plan, clock, chronicle } = world;
    const { probes } = plan.server;
    const attempts = new OpenAttempts(world);
    const answers = new Map<string, Answers>();
    const answersAbout = (runId: string, number: number): Answers => {
      const known = answers.get(`${runId} ${number}`) ?? { alive: [], dead: [] };
      answers.set(`${runId} ${number}`, known);
      return known;
    };
    /** @throws Violation */
    const judge = ({ runId, sight, isHit }: OpenAttempt): void => {
      if (sight === undefined || isHit) {
        return;
      }
      const nowMs = clock.monotonic();
      const { progressTimeoutMs = Number.POSITIVE_INFINITY } = plan.policies[sight.method];
      const { alive, dead } = answersAbout(runId, sight.number);
      const livedMs = alive.at(-1) ?? Number.NEGATIVE_INFINITY;
      const where = `attempt ${sight.number} of run ${runId}`;
      const reason = stopReason(sight);
      if (reason === "STALLED") {
        const silentMs = nowMs - Math.max(sight.movedMs, livedMs);
        assert(
          silentMs >= progressTimeoutMs - roundingMs,
          `${where} is cut off after ${silentMs} ms, and ${progressTimeoutMs} are its progress_timeout`,
        );
        const isAnswered = probes === undefined || probes.isFailing || probes.afterMs > 5_000;
        const noes = dead.filter((atMs) => atMs >= Math.max(sight.movedMs, livedMs)).length;
        assert(isAnswered || noes >= 2, `${where} is cut off, and its back-end has said ${noes} times that it is dead`);
      } else if (reason === undefined && !sight.isWaiting) {
        assertHeard(sight);
      }
    };
    /** @throws Violation when an attempt that has not been told to stop has been silent for too long up to now */
    const assertHeard = (sight: AttemptSight): void => {
      const nowMs = clock.monotonic();
      const { progressTimeoutMs = Number.POSITIVE_INFINITY } = plan.policies[sight.method];
      const livedMs = answersAbout(sight.runId, sight.number).alive.at(-1) ?? Number.NEGATIVE_INFINITY;
      const sinceMs = Math.max(sight.heardMs, livedMs);
      const mostMs = progressTimeoutMs + asksMs(probes) + promptMs;
      assert(
        nowMs - sinceMs <= mostMs || !chronicle.isCalm(sinceMs, nowMs),
        `attempt ${sight.number} of run ${sight.runId} is silent for ${nowMs - sinceMs} ms, and is not cut off after ${mostMs}`,
      );
    };
    return {
      starting: () => attempts.starting(),
      called: (sight) => attempts.called(sight),
      moving(sight) {
        const open = attempts.open.find(({ runId }) => runId === sight.runId);
        if (open?.sight === sight && !open.isHit && stopReason(sight) === undefined) {
          assertHeard(sight);
        }
      },
      asked({ runId, number }, answer) {
        if (answer !== "failing") {
          answersAbout(runId, number)[answer].push(clock.monotonic());
        }
      },
      appended(runId, events) {
        for (const event of events) {
          const ended = attempts.take(runId, event);
          const body = event.event;
          if (ended !== undefined && body.case !== "cancelRequested" && body.case !== "expired") {
            judge(ended);
          }
        }
      },
    };
  },
};
