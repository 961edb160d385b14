import { assert, type Invariant } from "../world/witness.ts";

export const steps: Invariant = {
  name: "a step is executed no more once it is journaled",
  witness: ({ disk }) => ({
    async stepped({ runId, number, stepsDone }, name) {
      const before = [...stepsDone];
      const events = await disk.events(runId);
      const where = `step ${name} of attempt ${number} of run ${runId}`;
      const journaled = new Set(
        events.flatMap(({ event }) => (event.case === "stepCompleted" ? [event.value.name] : [])),
      );
      assert(!journaled.has(name), `${where} is executed, although its result is journaled`);
      for (const earlier of before) {
        assert(journaled.has(earlier), `${where} is executed before ${earlier} is durable, which it may build on`);
      }
      const accepted = events[0]?.event;
      if (accepted?.case === "accepted" && accepted.value.rerunOf !== "" && !accepted.value.discardSteps) {
        const kept = (await disk.events(accepted.value.rerunOf)).some(
          ({ event }) => event.case === "stepCompleted" && event.value.name === name,
        );
        assert(!kept, `${where} is executed, although run ${accepted.value.rerunOf} has its result`);
      }
    },
    concluded(history) {
      for (const { runId, events } of history.values()) {
        const names = new Set<string>();
        for (const { event } of events) {
          if (event.case === "stepCompleted") {
            assert(!names.has(event.value.name), `step ${event.value.name} of run ${runId} is journaled twice`);
            names.add(event.value.name);
          }
        }
      }
    },
  }),
};
