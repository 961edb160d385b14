import { assert, type Invariant } from "../world/witness.ts";

const ended: ReadonlySet<string | undefined> = new Set(["succeeded", "failed", "cancelled", "expired"]);

export const ends: Invariant = {
  name: "every run ends once faults stop",
  witness: () => ({
    concluded(history) {
      for (const { runId, events } of history.values()) {
        const last = events.at(-1)?.event.case;
        assert(ended.has(last), `run ${runId} does not end: ${last} was its last event`);
      }
    },
  }),
};
