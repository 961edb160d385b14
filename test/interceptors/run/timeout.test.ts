import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { timeout } from "../../../src/interceptors/run/index.ts";
import type { Probe } from "../../../src/interceptors/run/silence.ts";
import { createError, type Outcome, type RunHandler, type RunRequest } from "../../../src/runs/index.ts";
import { createTurn } from "./stage-turn.ts";

const never: RunHandler = () => new Promise(() => undefined);
const blocked: Outcome = { kind: "blocked", gate: "", reason: "" };
const none = Number.POSITIVE_INFINITY;

interface Limits {
  readonly attemptTimeoutMs?: number;
  readonly progressTimeoutMs?: number;
  readonly probe?: Probe;
}

function enter({ attemptTimeoutMs = none, progressTimeoutMs = none, probe }: Limits, next: RunHandler = never) {
  const harness = createTurn();
  const { clock, turn } = harness;
  let holdsEnded = 0;
  turn.hold = { end: () => holdsEnded++ };
  const request = { workflow: { policy: { attemptTimeoutMs, progressTimeoutMs } }, turn } as unknown as RunRequest;
  const outcome = timeout({ clock, probe: () => probe })(next)(request);
  const outcomes: Outcome[] = [];
  outcome.then(
    (each) => outcomes.push(each),
    () => undefined,
  );
  return { ...harness, outcome, outcomes, holdsEnded: () => holdsEnded };
}

const failedAs = (reason: string) => [
  expect.objectContaining({ kind: "failed", failure: expect.objectContaining({ code: Code.Unavailable, reason }) }),
];

describe("the timeout stage", () => {
  it("hands an attempt without limits on as it is: the same promise, and no timer", () => {
    const answer = Promise.resolve(blocked);
    const { clock, turn, outcome } = enter({}, () => answer);
    expect(outcome).toBe(answer);
    expect([clock.pendingTimers, turn.activity, turn.pausables]).toEqual([0, undefined, []]);
  });

  it("ends an attempt that takes too long, however lively it is, and lets go of its permit", async () => {
    const { clock, turn, outcomes, holdsEnded } = enter({ attemptTimeoutMs: 10_000, progressTimeoutMs: 6_000 });
    const { signal } = turn;
    await clock.advance(5_000);
    turn.activity?.moved();
    await clock.advance(4_999);
    expect([outcomes, signal.aborted, holdsEnded()]).toEqual([[], false, 0]);
    await clock.advance(1);
    expect(outcomes).toEqual(failedAs("ATTEMPT_TIMEOUT"));
    expect(signal.reason).toMatchObject({ code: Code.Unavailable });
    expect([holdsEnded(), clock.pendingTimers]).toEqual([1, 0]);
  });

  it("ends an attempt that is silent too long, and gives it its time again when it moves", async () => {
    const { clock, turn, outcomes } = enter({ progressTimeoutMs: 3_000 });
    await clock.advance(2_999);
    turn.activity?.moved();
    await clock.advance(2_999);
    expect(outcomes).toEqual([]);
    await clock.advance(1);
    expect(outcomes).toEqual(failedAs("STALLED"));
    expect(turn.activity).toBeUndefined();
  });

  it("leaves a silent attempt alone while its back-end says that the job lives, and tells why when it does not", async () => {
    let alive = true;
    const probe: Probe = async () => ({ alive, reason: "no such job" });
    const { clock, outcomes } = enter({ progressTimeoutMs: 3_000, probe });
    await clock.advance(10_000);
    expect(outcomes).toEqual([]);
    alive = false;
    await clock.advance(5_000);
    expect(outcomes).toEqual(failedAs("STALLED"));
    expect(outcomes[0]).toMatchObject({ failure: { message: expect.stringContaining(": no such job") } });
  });

  it("has both clocks stand still while the attempt waits for a child", async () => {
    const { clock, turn, outcomes } = enter({ attemptTimeoutMs: 10_000, progressTimeoutMs: 6_000 });
    await clock.advance(5_000);
    const child = Promise.withResolvers<void>();
    const waits = turn.paused(() => child.promise);
    await clock.advance(3_600_000);
    child.resolve();
    await waits;
    await clock.advance(999);
    expect(outcomes).toEqual([]);
    await clock.advance(1);
    expect(outcomes).toEqual(failedAs("STALLED"));
  });

  it("lets go of the permit of an attempt that is told to stop already, and leaves the rest to who has told it", async () => {
    const { clock, turn, outcomes, holdsEnded } = enter({ attemptTimeoutMs: 10_000 });
    turn.abort(createError(Code.Canceled, "CANCELLED", "enough"));
    await clock.advance(10_000);
    expect([outcomes, holdsEnded(), turn.abortReason?.code]).toEqual([[], 1, Code.Canceled]);
  });

  it("hands on what comes in time, errors too, and leaves no timer behind", async () => {
    const limits = { attemptTimeoutMs: 10_000, progressTimeoutMs: 6_000 };
    const inTime = enter(limits, async () => blocked);
    expect(await inTime.outcome).toBe(blocked);
    expect([inTime.clock.pendingTimers, inTime.turn.activity]).toEqual([0, undefined]);
    const thrown = enter(limits, () => Promise.reject(new Error("a fault of ours")));
    await expect(thrown.outcome).rejects.toThrow("a fault of ours");
    expect(thrown.clock.pendingTimers).toBe(0);
  });
});
