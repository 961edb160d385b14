import { assert, type Invariant } from "../world/witness.ts";
import { type OpenAttempt, OpenAttempts } from "./open-attempts.ts";
import { stopReason } from "./stop-reason.ts";
import { promptMs, roundingMs } from "./times.ts";

/** A job is asked about three times at most, with a second in between, and each answer waited for this long. */
const asksMs = 3 * 5_000 + 2 * 1_000;

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
        const sinceMs = Math.max(sight.heardMs, livedMs);
        const mostMs = progressTimeoutMs + (probes === undefined ? 0 : asksMs) + promptMs;
        assert(
          nowMs - sinceMs <= mostMs || !chronicle.isCalm(sinceMs, nowMs),
          `${where} is silent for ${nowMs - sinceMs} ms, and is not cut off after ${mostMs}`,
        );
      }
    };
    return {
      starting: () => attempts.starting(),
      called: (sight) => attempts.called(sight),
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
