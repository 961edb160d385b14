import { assert, type Invariant } from "../world/witness.ts";

export const stopped: Invariant = {
  name: "an attempt that has been told to stop is not heard any more",
  witness: ({ disk }) => {
    /** The events that have cancelled runs, by their ids. */
    const cancelled = new Map<string, bigint>();
    return {
      async starting() {
        // What was not durable is gone.
        cancelled.clear();
        for (const runId of await disk.runIds()) {
          const event = (await disk.events(runId)).find(({ event: { case: kind } }) => kind === "cancelRequested");
          if (event !== undefined) {
            cancelled.set(runId, event.sequence);
          }
        }
      },
      appended(runId, events) {
        for (const { event, sequence } of events) {
          if (event.case === "cancelRequested") {
            cancelled.set(runId, sequence);
          }
        }
      },
      stepped({ runId, number, signal }, name) {
        assert(
          !signal.aborted,
          `step ${name} of run ${runId} is executed, although attempt ${number} was told to stop`,
        );
      },
      progressed(runId, { attempt, lastSequence }) {
        const sequence = cancelled.get(runId);
        // A watcher of a run that has reported nothing is told that, too.
        assert(
          attempt === 0 || sequence === undefined || lastSequence < sequence,
          `attempt ${attempt} of run ${runId} is shown with progress after event ${lastSequence}, and event ${sequence} has cancelled it`,
        );
      },
    };
  },
};
