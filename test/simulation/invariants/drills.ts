import { fromBinary } from "@bufbuild/protobuf";
import { type ActiveFault, FaultEventSchema } from "../../../gen/retake/v1/fault_pb.js";
import { msFromDuration, msFromTimestamp } from "../../../src/runs/time.ts";
import type { RunHistory } from "../world/history.ts";
import { type AttemptSight, assert, type Invariant } from "../world/witness.ts";
import type { World } from "../world/world.ts";
import { promptMs, roundingMs } from "./times.ts";

export const drills: Invariant = {
  name: "drills disturb while they last, and those they are about",
  witness: (world) => {
    const removed = new Set<string>();
    const calls = new Map<string, AttemptSight>();
    return {
      drillRemoved: (faultId) => {
        removed.add(faultId);
      },
      called(sight) {
        calls.set(`${sight.runId} ${sight.number}`, sight);
      },
      appended(runId, events) {
        for (const { event } of events) {
          if (event.case === "faultInjected") {
            assert(!removed.has(event.value.faultId), `a drill that was removed hits run ${runId}`);
          }
        }
      },
      async concluded(history) {
        const injected = new Map<string, ActiveFault>();
        for (const data of await world.disk.records("faults")) {
          const { event } = fromBinary(FaultEventSchema, data);
          if (event.case === "injected") {
            injected.set(event.value.faultId, event.value);
          }
        }
        for (const run of history.values()) {
          assertHits(run, injected, calls, world);
        }
      },
    };
  },
};

function assertHits(
  { runId, accepted, events }: RunHistory,
  injected: ReadonlyMap<string, ActiveFault>,
  calls: ReadonlyMap<string, AttemptSight>,
  { chronicle }: World,
): void {
  let hit: ActiveFault | undefined;
  /** A child that has failed passes its failure on, to each attempt. */
  let hasChild = false;
  for (const { event, sequence, time } of events) {
    const where = `event ${sequence} (${event.case}) of run ${runId}`;
    if (event.case === "attemptStarted") {
      hit = undefined;
    } else if (event.case === "childEnded") {
      hasChild = true;
    } else if (event.case === "faultInjected") {
      hit = injected.get(event.value.faultId);
      const { fault } = hit ?? {};
      assert(fault !== undefined, `${where} names a drill that nobody has begun`);
      assert(fault.workflow === accepted.workflow, `${where} names a drill of ${fault.workflow}`);
      const overMs = msFromTimestamp(fault.expireTime);
      const hitMs = msFromTimestamp(time);
      // One that ends the process has to be ended durably before it does.
      const isInTime = fault.effect.case === "crash" || hitMs <= overMs + roundingMs;
      assert(isInTime, `${where} comes at ${hitMs}, and its drill was over at ${overMs}`);
      if (fault.effect.case === "delay") {
        const atMs = chronicle.timeOf(runId, sequence);
        const heldMs = Math.min(msFromDuration(fault.effect.value.duration), overMs - hitMs);
        const call = calls.get(`${runId} ${event.value.attempt}`);
        const dueMs = atMs + heldMs + promptMs;
        const isHeldTooLong = call !== undefined && call.startedMs > dueMs;
        assert(
          !isHeldTooLong || !chronicle.isCalm(atMs, call.startedMs) || !chronicle.isSteady(0, call.startedMs),
          () => `${where} is to hold it for ${heldMs} ms, and holds it for ${(call?.startedMs ?? 0) - atMs}`,
        );
      }
    } else if (event.case === "attemptFailed") {
      const { reason = "" } = event.value.failure ?? {};
      const effect = hit?.fault?.effect.case;
      const expected = reasons[effect ?? ""];
      assert(
        hasChild || !reason.startsWith("DRILL_") || reason === expected,
        `${where} says ${reason}, and the attempt was hit by ${effect ?? "no drill"}`,
      );
    }
  }
}

const reasons: Readonly<Record<string, string>> = {
  status: "DRILL_STATUS",
  abort: "DRILL_ABORT",
  outOfMemory: "DRILL_OUT_OF_MEMORY",
  crash: "DRILL_CRASH",
};
