import { assert, type Invariant } from "../world/witness.ts";

export const durableFirst: Invariant = {
  name: "what is acknowledged is durable before",
  witness: ({ disk }) => {
    /** What attempts were told is kept, by attempt and kind. */
    const taken = new Map<string, number>();
    return {
      async acknowledged(runId) {
        const [first] = await disk.events(runId);
        assert(first?.event.case === "accepted", `run ${runId} was acknowledged before its acceptance was durable`);
      },
      async answered(runId) {
        const events = await disk.events(runId);
        const last = events.at(-1)?.event.case;
        assert(last === "succeeded", `a caller has the result of run ${runId}, whose last durable event is ${last}`);
      },
      async called({ runId, number, token }) {
        const events = await disk.events(runId);
        const started = events.some(
          ({ event }) =>
            event.case === "attemptStarted" && event.value.attempt === number && event.value.token === token,
        );
        assert(started, `a back-end was called for attempt ${number} of run ${runId} before its start was durable`);
      },
      async kept(attempt, what) {
        const { runId, number } = attempt;
        const count = (taken.get(`${runId} ${number} ${what}`) ?? 0) + 1;
        taken.set(`${runId} ${number} ${what}`, count);
        const durable = (await disk.events(runId)).filter(
          ({ event }) => event.case === what && event.value.attempt === number,
        );
        assert(
          durable.length >= count,
          `attempt ${number} of run ${runId} goes on after ${what} number ${count}, and ${durable.length} are durable`,
        );
      },
    };
  },
};
