import { expect, vi } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import type { Connection } from "./connection.ts";

/** For `vi.waitFor`: long enough for a machine that does ten other things. */
export const patience = { timeout: 60_000, interval: 20 };

/** Waits until so many runs work, each in its attempt of this number. Returns their ids, the oldest first. */
export function untilRunning({ runs }: Connection, count: number, attempt = 1): Promise<string[]> {
  return vi.waitFor(async () => {
    const found = await runs.listRuns({ states: [RunState.RUNNING] });
    expect(found.runs).toMatchObject(Array.from({ length: count }, () => ({ statistics: { attempts: attempt } })));
    return found.runs.map(({ runId }) => runId).toReversed();
  }, patience);
}

/** Waits until the first step of a run is known to be journaled. */
export async function untilFirstStep({ runs }: Connection, runId: string): Promise<void> {
  for await (const { update } of runs.watchRun({ runId })) {
    if (update.case === "event" && update.value.event.case === "stepCompleted") {
      return;
    }
  }
  expect.unreachable(`run ${runId} ended before its first step did`);
}
