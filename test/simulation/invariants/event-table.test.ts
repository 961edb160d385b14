import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { AcceptedSchema, RunEventSchema, RunMode } from "../../../gen/retake/v1/run_pb.js";
import { assertFollowsTable } from "./event-table.ts";

type Body = NonNullable<MessageInitShape<typeof RunEventSchema>["event"]>;

const accepted: Body = { case: "accepted", value: { runId: "r" } };
const started = (attempt: number): Body => ({ case: "attemptStarted", value: { attempt } });
const failedAttempt = (attempt: number): Body => ({ case: "attemptFailed", value: { attempt } });
const orphaned: Body = { case: "orphaned", value: {} };
const rejoined: Body = { case: "rejoined", value: {} };
const cancelRequested: Body = { case: "cancelRequested", value: {} };
const succeeded: Body = { case: "succeeded", value: {} };
const failed: Body = { case: "failed", value: {} };
const cancelled: Body = { case: "cancelled", value: {} };

function assertTable(bodies: readonly Body[], mode = RunMode.ATTACHED_KEYED): void {
  const events = bodies.map((event, index) => create(RunEventSchema, { sequence: BigInt(index + 1), event }));
  assertFollowsTable({ runId: "r", method: "paint", accepted: create(AcceptedSchema, { mode }), events });
}

describe("the checker of the event table", () => {
  it.each([
    ["an empty run", [accepted, started(1), succeeded]],
    ["a retake", [accepted, started(1), failedAttempt(1), started(2), failedAttempt(2), failed]],
    ["an orphan that is cancelled", [accepted, started(1), orphaned, rejoined, orphaned, cancelRequested]],
    ["a cancellation", [accepted, started(1), cancelRequested, failedAttempt(1), cancelled]],
  ] satisfies [string, Body[]][])("lets %s pass", (_, bodies) => {
    expect(() => assertTable(bodies)).not.toThrow();
  });

  it.each([
    ["two ends", [accepted, started(1), succeeded, failed], "follows the end"],
    ["a second acceptance", [accepted, accepted], "is not first"],
    ["an attempt in an attempt", [accepted, started(1), started(2)], "not allowed where the run is RUNNING"],
    ["a number that is left out", [accepted, started(2)], "1 is next"],
    ["a failure of another attempt", [accepted, started(1), failedAttempt(2)], "which is not open"],
    ["a failed run that works", [accepted, started(1), failed], "not allowed where the run is RUNNING"],
    [
      "a result after a cancellation",
      [accepted, started(1), cancelRequested, succeeded],
      "where the run is CANCELLING",
    ],
    ["an attempt that stays open", [accepted, started(1), cancelRequested, cancelled], "leaves attempt 1 open"],
    [
      "an attempt that fails twice",
      [accepted, started(1), cancelRequested, failedAttempt(1), failedAttempt(1)],
      "not open",
    ],
    ["a run that is left twice", [accepted, orphaned, orphaned], "twice in a row"],
    ["a caller who returns to no orphan", [accepted, rejoined], "twice in a row"],
  ] satisfies [string, Body[], string][])("finds %s", (_, bodies, problem) => {
    expect(() => assertTable(bodies)).toThrow(problem);
  });

  it("finds an orphan that needs no caller", () => {
    expect(() => assertTable([accepted, orphaned], RunMode.DETACHED)).toThrow("not attached with a key");
  });
});
