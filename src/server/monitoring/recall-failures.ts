import { FailureSeverity, RunState } from "../../../gen/retake/v1/run_pb.js";
import type { SevereFailure } from "../../monitoring/telemetry/index.ts";
import type { Engine } from "../engine.ts";
import { released } from "../shown-run.ts";

/** Runs that are read to find failures of an earlier process: a second or so. */
const mostRead = 500;

/** The critical failures that ended runs before a process began, of the newest runs that FAILED. */
export async function recallFailures(engine: Engine, beforeMs: number): Promise<SevereFailure[]> {
  const rows = await engine.journal.listRuns({ states: [RunState.FAILED] }, { limit: mostRead });
  const found: SevereFailure[] = [];
  for (const { runId, workflow } of rows) {
    // One after the other, as runs are listed: nobody else is kept waiting.
    const run = await engine.live.hold(runId);
    if (run === undefined) continue;
    await released(engine, run, async () => {
      const { failure, endTimeMs, attempts, accepted } = run.record;
      if (failure?.severity !== FailureSeverity.CRITICAL || endTimeMs === undefined || endTimeMs >= beforeMs) return;
      const owner = { tenant: accepted.owner?.tenant ?? "", subject: accepted.owner?.subject ?? "" };
      found.push({ timeMs: endTimeMs, runId, workflow, owner, attempt: attempts, endpoint: "", failure });
    });
  }
  return found;
}
