import type { AttemptStarted, RunEvent } from "../../../gen/retake/v1/run_pb.js";
import { assert, type Invariant } from "../world/witness.ts";
import { effectiveInput, hexOf } from "./effective-input.ts";

export const steps: Invariant = {
  name: "a step is executed no more once it is journaled",
  witness: ({ disk }) => ({
    async stepped({ runId, number, method, stepsDone }, name) {
      const before = [...stepsDone];
      const events = await disk.events(runId);
      const where = `step ${name} of attempt ${number} of run ${runId}`;
      const accepted = events[0]?.event;
      const started = startOf(events, number);
      assert(accepted?.case === "accepted" && started !== undefined, `${where} is executed, and has not begun`);
      const input = effectiveInput({ accepted: accepted.value, method }, started);
      const journaled = stepsOf(events, input);
      assert(!journaled.has(name), `${where} is executed, although its result is journaled`);
      for (const earlier of before) {
        assert(journaled.has(earlier), `${where} is executed before ${earlier} is durable, which it may build on`);
      }
      if (accepted.value.rerunOf !== "" && !accepted.value.discardSteps) {
        const kept = stepsOf(await disk.events(accepted.value.rerunOf), input).has(name);
        assert(!kept, `${where} is executed, although run ${accepted.value.rerunOf} has its result`);
      }
    },
    concluded(history) {
      for (const { runId, events } of history.values()) {
        const names = new Set<string>();
        for (const { event } of events) {
          if (event.case === "stepCompleted") {
            const name = `${event.value.name} ${hexOf(event.value.inputSha256)}`;
            assert(!names.has(name), `step ${event.value.name} of run ${runId} is journaled twice`);
            names.add(name);
          }
        }
      }
    },
  }),
};

/** The steps that are journaled for what is asked, by name. */
function stepsOf(events: readonly RunEvent[], input: string): ReadonlySet<string> {
  return new Set(
    events.flatMap(({ event }) =>
      event.case === "stepCompleted" && hexOf(event.value.inputSha256) === input ? [event.value.name] : [],
    ),
  );
}

function startOf(events: readonly RunEvent[], number: number): AttemptStarted | undefined {
  const start = events.find(({ event }) => event.case === "attemptStarted" && event.value.attempt === number);
  return start?.event.case === "attemptStarted" ? start.event.value : undefined;
}
