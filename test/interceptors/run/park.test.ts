import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { RunMode } from "../../../gen/retake/v1/run_pb.js";
import { park } from "../../../src/interceptors/run/index.ts";
import { msFromDuration, type Outcome, type RunRequest } from "../../../src/runs/index.ts";
import { createBreaker, policy } from "../../runs/breakers/breaker-harness.ts";

function meet(onOpen: typeof policy.onOpen, mode: RunMode, outcome: (nowMs: number) => Outcome) {
  const { breaker, clock } = createBreaker();
  breaker.force({ open: true, requestedBy: "ana", reason: "", untilMs: undefined });
  const request = {
    run: { accepted: { runId: "run", priority: 0, mode }, createTimeMs: 1 },
    workflow: { name: "a.B/C", policy: { circuitBreaker: { ...policy, onOpen } } },
  } as unknown as RunRequest;
  const stage = park({ breakers: { of: () => breaker }, clock })(async () => outcome(clock.now()));
  return { breaker, answer: stage(request) };
}

const blocked = (nowMs: number): Outcome => ({
  kind: "blocked",
  gate: "breaker",
  reason: "it is open",
  notBeforeMs: nowMs + 7_000,
});

describe("a run that meets an open breaker", () => {
  it.each([
    ["by-mode", RunMode.ATTACHED, "failed"],
    ["by-mode", RunMode.ATTACHED_KEYED, "waiting"],
    ["by-mode", RunMode.DETACHED, "waiting"],
    ["fail", RunMode.DETACHED, "failed"],
    ["park", RunMode.ATTACHED, "waiting"],
  ] as const)("with on_open %s in mode %i is %s", async (onOpen, mode, kind) => {
    const { breaker, answer } = meet(onOpen, mode, blocked);
    expect((await answer).kind).toBe(kind);
    expect(breaker.waiting).toBe(kind === "waiting" ? 1 : 0);
  });

  it("fails UNAVAILABLE, with the time until the next trial", async () => {
    const outcome = await meet("fail", RunMode.DETACHED, blocked).answer;
    const { failure } = outcome as Extract<Outcome, { kind: "failed" }>;
    expect(failure).toMatchObject({ code: Code.Unavailable, reason: "BREAKER_OPEN", retryable: true });
    expect(msFromDuration(failure.retryDelay)).toBe(7_000);
    expect(failure.message).toBe("it is open; call again later");
  });

  it("fails with a delay also where nobody knows the time", async () => {
    const unknown = (): Outcome => ({ kind: "blocked", gate: "breaker", reason: "" });
    const outcome = await meet("fail", RunMode.DETACHED, unknown).answer;
    const { failure } = outcome as Extract<Outcome, { kind: "failed" }>;
    expect(msFromDuration(failure.retryDelay)).toBe(1_000);
  });

  it("is parked without a time, so that the breaker alone wakes it", async () => {
    const outcome = await meet("park", RunMode.DETACHED, blocked).answer;
    expect(outcome).toMatchObject({
      kind: "waiting",
      wakeAtMs: undefined,
      events: [{ case: "parked", value: { gate: "breaker", reason: "it is open" } }],
    });
  });
});

it("leaves everything else as it is", async () => {
  const other: Outcome = { kind: "blocked", gate: "server", reason: "" };
  expect(await meet("fail", RunMode.ATTACHED, () => other).answer).toBe(other);
});

it("is not there for a workflow without a breaker", () => {
  const answer = Promise.resolve<Outcome>({ kind: "expired" });
  const { clock } = createBreaker();
  const stage = park({ breakers: { of: () => undefined }, clock })(() => answer);
  expect(stage({ workflow: { policy: {} } } as unknown as RunRequest)).toBe(answer);
});
