import { RunMode } from "../../../gen/retake/v1/run_pb.js";
import { msFromTimestamp } from "../../../src/runs/time.ts";
import type { RunHistory } from "../world/history.ts";
import { assert, type Invariant } from "../world/witness.ts";
import type { World } from "../world/world.ts";
import { promptMs, roundingMs } from "./times.ts";

export const callerGrace: Invariant = {
  name: "a run waits for its callers as long as it says, and no longer",
  witness: (world) => ({
    concluded(history) {
      for (const run of history.values()) {
        if (run.accepted.mode === RunMode.ATTACHED) {
          assertEndsWithCaller(run, world);
        } else {
          assertGrace(run, world);
        }
      }
    },
  }),
};

/** A keyed run is cancelled for its callers' sake exactly when the grace of an orphan is over. */
function assertGrace({ runId, method, events }: RunHistory, { plan, chronicle }: World): void {
  const { callerGraceMs } = plan.policies[method];
  let graceUntilMs: number | undefined;
  let dueMs = Number.POSITIVE_INFINITY;
  let sinceMs = 0;
  for (const { event, sequence, time } of events) {
    const nowMs = chronicle.timeOf(runId, sequence);
    const where = `run ${runId}`;
    if (event.case === "orphaned") {
      graceUntilMs = msFromTimestamp(event.value.graceUntil);
      const graceMs = graceUntilMs - msFromTimestamp(time);
      assert(
        Math.abs(graceMs - callerGraceMs) < roundingMs,
        `${where} gives its callers ${graceMs} ms, not ${callerGraceMs}`,
      );
      sinceMs = nowMs;
      dueMs = nowMs + callerGraceMs;
    } else if (event.case === "rejoined") {
      graceUntilMs = undefined;
      dueMs = Number.POSITIVE_INFINITY;
    } else if (event.case === "cancelRequested") {
      if (event.value.reason === "CALLER_LOST") {
        assert(graceUntilMs !== undefined, `${where} was cancelled for want of callers, and was no orphan`);
        const requestedMs = msFromTimestamp(time);
        assert(
          requestedMs >= graceUntilMs - roundingMs,
          `${where} was to wait until ${graceUntilMs}, and was cancelled at ${requestedMs}`,
        );
      }
      return;
    } else if (nowMs > dueMs + promptMs && chronicle.isSteady(sinceMs, nowMs) && chronicle.isCalm(dueMs, nowMs)) {
      assert(false, `${where} goes on (${event.case}) although nobody has come back within ${callerGraceMs} ms`);
    }
  }
}

/** A run without a key is cancelled when its caller leaves. */
function assertEndsWithCaller({ runId, accepted, events }: RunHistory, world: World): void {
  const { chronicle } = world;
  const leftMs = world.leaveOf(accepted.traceparent);
  if (leftMs === undefined || !chronicle.isCalm(leftMs, leftMs + promptMs)) {
    return;
  }
  for (const { event, sequence } of events) {
    if (event.case === "cancelRequested") {
      return;
    }
    const nowMs = chronicle.timeOf(runId, sequence);
    assert(
      nowMs <= leftMs + promptMs,
      `run ${runId} goes on (${event.case}) ${nowMs - leftMs} ms after its caller has left`,
    );
  }
}
