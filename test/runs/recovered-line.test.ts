import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { AcceptedSchema, RunEventSchema, RunMode, RunState } from "../../gen/retake/v1/run_pb.js";
import { attemptFailed } from "../../src/runs/bodies.ts";
import { createFailure } from "../../src/runs/failure.ts";
import { wishOf } from "../../src/runs/recovered-line.ts";
import { type RunEventBody, reduceRun } from "../../src/runs/run-record.ts";
import { timestampFromMs } from "../../src/runs/time.ts";

const accepted: RunEventBody = {
  case: "accepted",
  value: create(AcceptedSchema, {
    runId: "r",
    workflow: "a.B/C",
    mode: RunMode.DETACHED,
    deadline: timestampFromMs(100_000),
  }),
};

function started(attempt: number): RunEventBody {
  const event = { case: "attemptStarted", value: { attempt, token: "t", endpoint: "x", quality: 5 } } as const;
  return create(RunEventSchema, { event }).event as RunEventBody;
}

function interrupted(attempt: number, counted: boolean): RunEventBody {
  return attemptFailed(
    attempt,
    createFailure({ code: Code.Unavailable, reason: "INTERRUPTED", message: "" }),
    counted,
    1,
  );
}

/** What a run in line wants after these events, one each second. */
function wishAfter(...bodies: readonly RunEventBody[]) {
  const record = reduceRun(
    [accepted, ...bodies].map((event, at) =>
      create(RunEventSchema, { sequence: BigInt(at + 1), time: timestampFromMs(1000 * (at + 1)), event }),
    ),
  );
  if (record?.state !== RunState.QUEUED) {
    throw new Error("the run is not in line");
  }
  return wishOf(record);
}

describe("the place in line of a run that an earlier process has left", () => {
  it("is the first after an interruption, and after a failure in between too", () => {
    expect(wishAfter(started(1), interrupted(1, false)).sinceMs).toBe(Number.NEGATIVE_INFINITY);
    const twice = [started(1), interrupted(1, true), started(2), interrupted(2, false)];
    expect(wishAfter(...twice).sinceMs).toBe(Number.NEGATIVE_INFINITY);
  });

  it("is its own after a failure that a back-end has given the name of an interruption", () => {
    expect(wishAfter(started(1), interrupted(1, true)).sinceMs).toBe(3000);
  });
});
