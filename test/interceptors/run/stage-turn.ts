import { ActiveTurn } from "../../../src/runs/active-turn.ts";
import type { LiveRun } from "../../../src/runs/live-run.ts";
import type { RunEventBody } from "../../../src/runs/run-record.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";

/** A turn for a stage alone: what it commits is in `events` at once, and durable when `run.durable` says so. */
export function createTurn() {
  const clock = createVirtualClock();
  const events: RunEventBody[] = [];
  const run = {
    id: "run",
    input: undefined as Uint8Array | undefined,
    durable: Promise.resolve(),
    commit: (bodies: readonly RunEventBody[]) => void events.push(...bodies),
  };
  let load = (): Promise<Uint8Array> => Promise.reject(new Error("no input"));
  const turn = new ActiveTurn(run as unknown as LiveRun, clock, () => load());
  return {
    clock,
    events,
    run,
    turn,
    /** How the input of the run is read. */
    onLoad: (reads: typeof load) => {
      load = reads;
    },
  };
}
