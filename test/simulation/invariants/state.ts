import { type Run, RunSchema } from "../../../gen/retake/v1/run_pb.js";
import { reduceRun } from "../../../src/runs/run-record.ts";
import { viewRun } from "../../../src/runs/run-view.ts";
import { messageJson } from "../world/message-json.ts";
import { assert, type Invariant } from "../world/witness.ts";

export const state: Invariant = {
  name: "a run is shown as its journal tells it",
  witness: ({ disk }) => ({
    async shown(run) {
      const { runId, lastSequence } = run;
      const events = await disk.events(runId);
      assert(events.length >= Number(lastSequence), `run ${runId} is shown with an event that is not durable`);
      const record = reduceRun(events.slice(0, Number(lastSequence)));
      assert(record !== undefined, `run ${runId} is shown, and is not in the journal`);
      const told = viewRun(record, { nowMs: 0, gates: noGates, pauses: noGates });
      assert(textOf(run) === textOf(told), () => `run ${runId} is shown as ${textOf(run)}, and is ${textOf(told)}`);
    },
    concluded(history) {
      for (const { runId, events } of history.values()) {
        const record = reduceRun(events);
        assert(record?.lastSequence === events.length, `run ${runId} cannot be read out of its journal`);
      }
    },
  }),
};

/** Nobody waits: where a run stands in line is not in its journal. */
const noGates = { place: () => undefined, of: () => undefined } as never;

/** What a run says of itself, without what depends on the moment. */
function textOf(run: Run): string {
  const { progress, wait, statistics, ...rest } = messageJson(RunSchema, run);
  const { queueTime, ...counted } = (statistics ?? {}) as Record<string, unknown>;
  return JSON.stringify({ ...rest, statistics: counted });
}
