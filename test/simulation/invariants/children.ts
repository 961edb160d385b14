import { RunState } from "../../../gen/retake/v1/run_pb.js";
import type { History, RunHistory } from "../world/history.ts";
import { assert, type Invariant } from "../world/witness.ts";
import type { World } from "../world/world.ts";
import { promptMs } from "./times.ts";

const endStates = new Map<string | undefined, RunState>([
  ["succeeded", RunState.SUCCEEDED],
  ["failed", RunState.FAILED],
  ["cancelled", RunState.CANCELLED],
  ["expired", RunState.EXPIRED],
]);

export const children: Invariant = {
  name: "children work for their parents, and end with them",
  witness: (world) => ({
    concluded(history) {
      for (const run of history.values()) {
        assertChildren(run, history);
        assertEndsWithParent(run, history, world);
        assertHasReason(run, history, world);
      }
    },
  }),
};

/** What a parent's journal says of its children is what theirs say. */
function assertChildren({ runId, events }: RunHistory, history: History): void {
  const started = new Map<string, string>();
  for (const { event } of events) {
    if (event.case === "childStarted") {
      assert(!started.has(event.value.name), `child ${event.value.name} of run ${runId} was started twice`);
      started.set(event.value.name, event.value.childRunId);
      const child = history.get(event.value.childRunId);
      assert(
        child === undefined || child.accepted.parentRunId === runId,
        `run ${child?.runId} works for ${child?.accepted.parentRunId}, and run ${runId} calls it its child`,
      );
    } else if (event.case === "childEnded") {
      const child = history.get(started.get(event.value.name) ?? "");
      const state = endStates.get(child?.events.at(-1)?.event.case);
      assert(
        state === event.value.state,
        `run ${runId} says that its child ${event.value.name} is ${RunState[event.value.state]}, and the child says ${state}`,
      );
    }
  }
}

/** A child that is open when its parent ends is cancelled. */
function assertEndsWithParent({ runId, accepted, events }: RunHistory, history: History, { chronicle }: World): void {
  const parent = history.get(accepted.parentRunId);
  const end = parent?.events.at(-1);
  const acceptance = events[0];
  if (parent === undefined || end === undefined || acceptance === undefined || !endStates.has(end.event.case)) {
    return;
  }
  const endedMs = Math.max(chronicle.timeOf(parent.runId, end.sequence), chronicle.timeOf(runId, acceptance.sequence));
  const dueMs = endedMs + promptMs;
  if (!chronicle.isCalm(endedMs, dueMs)) {
    return;
  }
  const isHeeded = events.some(
    ({ event, sequence }) =>
      (event.case === "cancelRequested" || endStates.has(event.case)) && chronicle.timeOf(runId, sequence) <= dueMs,
  );
  assert(isHeeded, `run ${runId} goes on, although its parent ${parent.runId} has ended`);
}

/** Who is cancelled because of its parent has one that is being cancelled, or has ended. */
function assertHasReason({ runId, accepted, events }: RunHistory, history: History, { chronicle }: World): void {
  const parent = history.get(accepted.parentRunId);
  const request = events.find(({ event }) => event.case === "cancelRequested" && event.value.requestedBy === "parent");
  if (parent === undefined || request === undefined) {
    return;
  }
  const requestedMs = chronicle.timeOf(runId, request.sequence);
  assert(
    parent.events.some(
      ({ event, sequence }) =>
        (event.case === "cancelRequested" || endStates.has(event.case)) &&
        chronicle.timeOf(parent.runId, sequence) <= requestedMs,
    ),
    `run ${runId} is cancelled because of its parent ${parent.runId}, which goes on`,
  );
}
