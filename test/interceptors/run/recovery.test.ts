import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { FailureCategory, RecoveryAction } from "../../../gen/retake/v1/options_pb.js";
import type { ResolvedRecoveryRule } from "../../../src/contract/index.ts";
import { recovery } from "../../../src/interceptors/run/index.ts";
import {
  createError,
  createFailure,
  type FailedAttempt,
  type Outcome,
  type RunRequest,
  silentLogger,
} from "../../../src/runs/index.ts";
import type { RunEventBody } from "../../../src/runs/run-record.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";

const { FREE_MEMORY, RECONNECT, RESTART, SWITCH_ENDPOINT } = RecoveryAction;

const rule = (action: RecoveryAction, ...categories: FailureCategory[]): ResolvedRecoveryRule => ({
  action,
  categories: new Set(categories),
  timeoutMs: 1_000,
  cooldownMs: 0,
});

function stageOf(rules: readonly ResolvedRecoveryRule[], failed?: Partial<FailedAttempt>, isPaused = false) {
  const clock = createVirtualClock();
  const controller = new AbortController();
  const acts: RecoveryAction[] = [];
  const events: RunEventBody[] = [];
  const asked: RunRequest[] = [];
  const failure = createFailure({
    code: Code.Unavailable,
    reason: "GONE",
    message: "gone",
    category: FailureCategory.NETWORK,
  });
  const turn = {
    signal: controller.signal,
    abortReason: undefined as unknown,
    concluded: false,
    commit: async (bodies: readonly RunEventBody[]) => void events.push(...bodies),
  };
  const request = {
    run: {
      accepted: { runId: "run", traceparent: "" },
      failedAttempt: failed && { number: 1, token: "run.1", endpoint: "gpu:1", failure, recoveries: [], ...failed },
    },
    workflow: { policy: { recovery: rules } },
    turn,
  } as unknown as RunRequest;
  const run = async (
    act: (action: RecoveryAction) => Promise<{ error: string } | undefined> = async () => ({ error: "" }),
    outcome: Outcome = { kind: "blocked", gate: "endpoint", reason: "full" },
  ) =>
    recovery({
      clock,
      log: silentLogger,
      pauses: { of: () => (isPaused ? { workflow: "a.B/C", pausedBy: "ana", reason: "", sinceMs: 0 } : undefined) },
      act: ({ action }) => {
        acts.push(action);
        return act(action);
      },
    })(async (next) => {
      asked.push(next);
      return outcome;
    })(request);
  return { clock, run, acts, events, asked, request, turn, controller };
}

const network = FailureCategory.NETWORK;

describe("the recovery stage", () => {
  it("does what the policy names for such a failure, in its order, and tells each outcome", async () => {
    const { run, acts, events, asked } = stageOf(
      [rule(RESTART, network), rule(FREE_MEMORY, FailureCategory.MEMORY), rule(RECONNECT, network)],
      {},
    );
    await run(async (action) => ({ error: action === RESTART ? "no hands" : "" }));
    expect(acts).toEqual([RESTART, RECONNECT]);
    expect(events).toMatchObject([
      { case: "recoveryActed", value: { action: RESTART, endpoint: "gpu:1", error: "no hands" } },
      { case: "recoveryActed", value: { action: RECONNECT, endpoint: "gpu:1", error: "" } },
    ]);
    expect(asked).toHaveLength(1);
  });

  it.each([
    ["a run that has not failed", [rule(RESTART, network)], undefined],
    ["a policy without rules", [], {}],
    ["what is done already", [rule(RESTART, network)], { recoveries: [RESTART] }],
    ["what was passed over before that", [rule(RECONNECT, network), rule(RESTART, network)], { recoveries: [RESTART] }],
    ["a workflow that is paused", [rule(RESTART, network)], {}, true],
  ])("does nothing for %s", async (_, rules, failed, isPaused = false) => {
    const { run, acts, asked, request } = stageOf(rules, failed, isPaused);
    await run();
    expect(acts).toEqual([]);
    expect(asked).toEqual([request]);
  });

  it("has the journal say that the run was woken before anything is done, which may take long", async () => {
    const { run, turn } = stageOf([rule(RESTART, network)], {});
    const order: string[] = [];
    turn.commit = async (bodies) => void order.push(`commit ${bodies.length}`);
    await run(async () => {
      order.push("act");
      return undefined;
    });
    expect(order).toEqual(["commit 0", "act"]);
  });

  it("tells nothing of what is not offered", async () => {
    const { run, events, asked } = stageOf([rule(RESTART, network)], {});
    await run(async () => undefined);
    expect(events).toEqual([]);
    expect(asked).toHaveLength(1);
  });

  it("goes no further once the run must stop", async () => {
    const { run, acts, events, asked, turn, controller } = stageOf(
      [rule(RESTART, network), rule(RECONNECT, network)],
      {},
    );
    const outcome = run(() => new Promise(() => {}));
    turn.abortReason = createError(Code.Canceled, "CANCELLED", "enough");
    controller.abort(turn.abortReason);
    expect(await outcome).toMatchObject({ kind: "failed", failure: { reason: "CANCELLED" } });
    expect([acts, events, asked]).toEqual([[RESTART], [], []]);
  });

  it("has the next attempt made at another endpoint, and looks again while it waits for one", async () => {
    const { clock, run, asked, request } = stageOf([rule(SWITCH_ENDPOINT, network)], { recoveries: [SWITCH_ENDPOINT] });
    Object.assign(request.run, { avoidedEndpoint: "gpu:1" });
    expect(await run()).toMatchObject({ kind: "blocked", notBeforeMs: clock.now() + 5_000 });
    expect(asked[0]?.avoidedEndpoint).toBe("gpu:1");
    expect(await run(undefined, { kind: "expired" })).toEqual({ kind: "expired" });
  });
});
