import type { Accepted, Run } from "../../gen/retake/v1/run_pb.js";
import { RunView } from "../../gen/retake/v1/run_service_pb.js";
import { journalUnavailable, type LiveRun, viewRun, withValue } from "../runs/index.ts";
import type { Engine } from "./engine.ts";

/** What run.proto promises. */
const mostHolders = 10;

/**
 * A run as it stands, told only when the journal says the same for good. A full view names the runs that hold what it
 * waits for, of those that the caller sees: an id is all it takes to use a run of somebody without credentials.
 */
export async function durableView(
  engine: Engine,
  run: LiveRun,
  view = RunView.BASIC,
  isSeen: (accepted: Accepted) => boolean = () => false,
): Promise<Run> {
  const shown = viewRun(run.record, {
    nowMs: engine.clock.now(),
    gates: engine.gates,
    pauses: engine.pauses,
    breakers: engine.breakers,
    retryBudgets: engine.retryBudgets,
    recoveries: engine.recoveries,
    latestProgress: latestProgressOf(engine, run),
  });
  if (view === RunView.FULL && shown.wait !== undefined) {
    const holders = engine.gates.holders(run.id, mostHolders).filter((id) => {
      const holder = engine.live.get(id);
      return holder !== undefined && isSeen(holder.record.accepted);
    });
    shown.wait.holders.push(...holders);
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

/** What is being done for a run, by itself or by a fallback, and a fallback of that. */
function latestProgressOf(engine: Engine, run: LiveRun): LiveRun["latestProgress"] {
  const { fallback } = run.record;
  if (fallback === undefined) {
    return run.latestProgress;
  }
  const child = engine.live.get(fallback.childRunId);
  return child && latestProgressOf(engine, child);
}

/** Uses a run that is held, and lets it go. */
export async function released<T>(engine: Engine, run: LiveRun, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } finally {
    engine.live.release(run);
  }
}
