import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { deadline } from "../../../src/interceptors/run/index.ts";
import { createError, type Outcome, type RunHandler, type RunRequest } from "../../../src/runs/index.ts";
import { createTurn } from "./stage-turn.ts";

const never: RunHandler = () => new Promise(() => undefined);
const blocked: Outcome = { kind: "blocked", gate: "", reason: "" };

/** A turn of a run that has ten seconds left. */
function enter(next: RunHandler) {
  const harness = createTurn();
  const { clock, turn } = harness;
  const holdEndedFor: (string | undefined)[] = [];
  turn.hold = { end: () => holdEndedFor.push(turn.abortReason?.rawMessage) };
  const request = { run: { deadlineMs: clock.now() + 10_000 }, turn } as unknown as RunRequest;
  const outcomes: Outcome[] = [];
  const outcome = turn.outcome(deadline({ clock })(next), request);
  outcome.then(
    (each) => outcomes.push(each),
    () => undefined,
  );
  return { ...harness, outcome, outcomes, holdEndedFor };
}

describe("the deadline stage", () => {
  it("ends the run when its deadline passes and not before, tells its back-end to stop, and lets go of its permit", async () => {
    const { clock, turn, outcomes, holdEndedFor } = enter(never);
    const { signal } = turn;
    await clock.advance(9_999);
    expect([outcomes, signal.aborted, holdEndedFor]).toEqual([[], false, []]);
    await clock.advance(1);
    expect(outcomes).toEqual([{ kind: "expired" }]);
    expect(signal.reason).toMatchObject({ code: Code.DeadlineExceeded });
    // The permit's judges are told why it ends: too little time says nothing of a back-end.
    expect(holdEndedFor).toEqual(["the run's deadline has passed"]);
  });

  it("lets go of the permit of a run that is being cancelled, which ends by its grace", async () => {
    const { clock, turn, outcomes, holdEndedFor } = enter(never);
    turn.abort(createError(Code.Canceled, "CANCELLED", "enough"));
    await clock.advance(10_000);
    expect([outcomes, turn.abortReason?.code, holdEndedFor]).toEqual([[], Code.Canceled, ["enough"]]);
  });

  it("leaves nothing behind when the turn ends in time, also where a stage throws", async () => {
    const inTime = enter(async () => blocked);
    expect(await inTime.outcome).toBe(blocked);
    expect(inTime.clock.pendingTimers).toBe(0);
    const thrown = enter(() => Promise.reject(new Error("a fault of ours")));
    await expect(thrown.outcome).rejects.toThrow("a fault of ours");
    expect(thrown.clock.pendingTimers).toBe(0);
  });
});
