import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { uncaught } from "../../../src/interceptors/run/index.ts";
import {
  type AttemptScope,
  AttemptScopes,
  createError,
  createFailure,
  type Outcome,
  type RunHandler,
  type RunRequest,
} from "../../../src/runs/index.ts";
import { createTurn } from "./stage-turn.ts";

const answer: Outcome = { kind: "blocked", gate: "", reason: "" };
const failure = createFailure({ code: Code.Internal, reason: "UNCAUGHT_ERROR", message: "left" });
const failed: Outcome = { kind: "failed", failure };

/** An attempt whose handler stops when it is told to by the test, under a grace of ten seconds. */
function enter(inside?: RunHandler) {
  const harness = createTurn();
  const { clock, turn } = harness;
  const stopped = Promise.withResolvers<Outcome>();
  const seen: unknown[] = [];
  turn.hold = { end: () => void seen.push("permit freed") };
  const scopes = new AttemptScopes();
  let scope: AttemptScope | undefined;
  const run = { accepted: {}, state: RunState.RUNNING };
  const request = {
    ...{ run, turn, attempt: { endpoint: "here", number: 1, token: "token" } },
    workflow: { sensitive: false, policy: { cancelGraceMs: 10_000 } },
  } as unknown as RunRequest;
  const handler: RunHandler = (own) => {
    scope = scopes.current;
    return inside?.(own) ?? stopped.promise;
  };
  const outcome = uncaught({ scopes, endpoint: "here", clock })(handler)(request);
  outcome.then(
    (each) => seen.push(each),
    () => undefined,
  );
  if (scope === undefined) throw new Error("the handler works in no scope");
  return { ...harness, outcome, run, scope, seen, stopped };
}

describe("the stage of uncaught errors", () => {
  it("hands on what the handler answers, errors too, and sets no timer", async () => {
    const { clock, outcome, scope, stopped } = enter();
    expect([clock.pendingTimers, scope.isOver]).toEqual([0, false]);
    stopped.resolve(answer);
    expect(await outcome).toBe(answer);
    expect([scope.fail, scope.isOver, clock.pendingTimers]).toEqual([undefined, true, 0]);
    await expect(enter(() => Promise.reject(new Error("a fault of ours"))).outcome).rejects.toThrow("a fault of ours");
  });

  it.each<[string, (stopped: PromiseWithResolvers<Outcome>) => void]>([
    ["answers", ({ resolve }) => resolve(answer)],
    ["throws", ({ reject }) => reject(new Error("stopped"))],
  ])("fails the attempt when its handler has stopped, also where it %s", async (_, stop) => {
    const { clock, scope, seen, stopped, turn } = enter();
    expect([scope.fail?.(failure), scope.fail?.(failure)]).toEqual([true, false]);
    expect(turn.abortReason).toMatchObject({ code: Code.Internal });
    await clock.advance(9_999);
    expect([seen, scope.isOver]).toEqual([[], false]);
    stop(stopped);
    await clock.advance(0);
    expect([seen, scope.isOver, clock.pendingTimers]).toEqual([[failed], true, 0]);
  });

  it("fails the attempt without its handler when the grace is over", async () => {
    const { clock, scope, seen } = enter();
    scope.fail?.(failure);
    await clock.advance(10_000);
    expect([seen, scope.isOver]).toEqual([[failed], true]);
  });

  it("waits no longer than the attempt and its run have time, and frees the permit behind the outcome", async () => {
    const { clock, scope, seen, turn } = enter();
    scope.fail?.(failure);
    turn.hold?.end();
    await clock.advance(0);
    expect([seen, clock.pendingTimers]).toEqual([[failed, "permit freed"], 0]);
  });

  it("leaves a run that is being cancelled to the grace of that", async () => {
    const { clock, run, scope, seen, stopped, turn } = enter();
    scope.fail?.(failure);
    run.state = RunState.CANCELLING;
    await clock.advance(60_000);
    expect(seen).toEqual([]);
    turn.hold?.end();
    await clock.advance(0);
    expect(seen).toEqual(["permit freed"]);
    stopped.resolve(answer);
    await clock.advance(0);
    expect(seen).toEqual(["permit freed", failed]);
  });

  it("fails no attempt that has been told to stop, or whose turn is over", () => {
    const aborted = enter();
    aborted.turn.abort(createError(Code.Canceled, "CANCELLED", "enough"));
    expect([aborted.scope.fail?.(failure), aborted.scope.isOver]).toEqual([false, false]);
    const concluded = enter();
    concluded.turn.conclude(answer);
    expect([concluded.scope.fail?.(failure), concluded.scope.isOver]).toEqual([false, true]);
  });
});
