import type { Run } from "../../gen/retake/v1/run_pb.js";
import { RunView } from "../../gen/retake/v1/run_service_pb.js";
import { journalUnavailable, type LiveRun, viewRun, withValue } from "../runs/index.ts";
import type { Engine } from "./engine.ts";

/** What run.proto promises. */
const mostHolders = 10;

/** A run as it stands, told only when the journal says the same for good. */
export async function durableView(engine: Engine, run: LiveRun, view = RunView.BASIC): Promise<Run> {
  const shown = viewRun(run.record, {
    nowMs: engine.clock.now(),
    gates: engine.gates,
    pauses: engine.pauses,
    breakers: engine.breakers,
    retryBudgets: engine.retryBudgets,
    latestProgress: run.latestProgress,
  });
  if (view === RunView.FULL && shown.wait !== undefined) {
    shown.wait.holders.push(...engine.gates.holders(run.id, mostHolders));
  }
  try {
    await run.durable;
  } catch (error) {
    throw journalUnavailable(error);
  }
  if (view === RunView.FULL) {
    const input = await withValue(shown.input, run.id, engine.payloads);
    const result = await withValue(shown.result, run.id, engine.payloads);
    Object.assign(shown, { ...(input === undefined ? {} : { input }), ...(result === undefined ? {} : { result }) });
  }
  return shown;
}

/** Uses a run that is held, and lets it go. */
export async function released<T>(engine: Engine, run: LiveRun, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } finally {
    engine.live.release(run);
  }
}
