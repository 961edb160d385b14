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
    abortReason: undefined as unknown,
    concluded: false,
    commit: async (bodies: readonly RunEventBody[]) => {
      events.push(...bodies);
      for (const body of bodies) {
        if (body.case === "recoveryActed") request.run.failedAttempt?.recoveries.push(body.value.action);
      }
    },
  };
  const request = {
    run: {
      accepted: { runId: "run", traceparent: "" },
      failedAttempt: failed && {
        number: 1,
        token: "run.1",
        endpoint: "gpu:1",
        failure,
        recoveries: [] as RecoveryAction[],
        ...failed,
      },
    },
    workflow: { policy: { recovery: rules } },
    turn,
  } as unknown as RunRequest;
  /** @param act what has come of an action; undefined where it is not offered */
  const run = async (
    act: (action: RecoveryAction) => string | "goes on" | undefined = () => "",
    outcome: Outcome = { kind: "blocked", gate: "endpoint", reason: "full" },
  ) =>
    recovery({
      clock,
      log: silentLogger,
      pauses: { of: () => (isPaused ? { workflow: "a.B/C", pausedBy: "ana", reason: "", sinceMs: 0 } : undefined) },
      next: (left) => {
        for (const { action } of left) {
          acts.push(action);
          const error = act(action);
          if (error === "goes on") return { kind: "blocked", gate: "recovery", reason: "RESTART is under way" };
          if (error !== undefined) return { kind: "acted", action, error };
        }
        return undefined;
      },
    })(async (next) => {
      asked.push(next);
      return outcome;
    })(request);
  return { clock, run, acts, events, asked, request, turn };
}

const network = FailureCategory.NETWORK;

describe("the recovery stage", () => {
  it("does what the policy names for such a failure, in its order, and tells each outcome", async () => {
    const { run, acts, events, asked } = stageOf(
      [rule(RESTART, network), rule(FREE_MEMORY, FailureCategory.MEMORY), rule(RECONNECT, network)],
      {},
    );
    await run((action) => (action === RESTART ? "no hands" : ""));
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

  it("unwinds while its back-end recovers, and goes on from there", async () => {
    const { run, acts, events, asked } = stageOf([rule(RESTART, network), rule(RECONNECT, network)], {});
    expect(await run(() => "goes on")).toEqual({ kind: "blocked", gate: "recovery", reason: "RESTART is under way" });
    expect([acts, events, asked]).toEqual([[RESTART], [], []]);
    expect(await run((action) => (action === RESTART ? "" : "goes on"))).toMatchObject({ gate: "recovery" });
    await run();
    expect(events.map(({ value }) => "action" in value && value.action)).toEqual([RESTART, RECONNECT]);
    expect(asked).toHaveLength(1);
  });

  it("tells nothing of what is not offered", async () => {
    const { run, events, asked } = stageOf([rule(RESTART, network)], {});
    await run(() => undefined);
    expect(events).toEqual([]);
    expect(asked).toHaveLength(1);
  });

  it("goes no further once the run must stop", async () => {
    const { run, acts, events, asked, turn } = stageOf([rule(RESTART, network), rule(RECONNECT, network)], {});
    const { commit } = turn;
    turn.commit = async (bodies) => {
      turn.abortReason = createError(Code.Canceled, "CANCELLED", "enough");
      await commit(bodies);
    };
    expect(await run()).toMatchObject({ kind: "failed", failure: { reason: "CANCELLED" } });
    expect([acts, events.length, asked]).toEqual([[RESTART], 1, []]);
  });

  it("has the next attempt made at another endpoint, and looks again while it waits for one", async () => {
    const { clock, run, asked, request } = stageOf([rule(SWITCH_ENDPOINT, network)], { recoveries: [SWITCH_ENDPOINT] });
    Object.assign(request.run, { avoidedEndpoint: "gpu:1" });
    expect(await run()).toMatchObject({ kind: "blocked", notBeforeMs: clock.now() + 5_000 });
    expect(asked[0]?.avoidedEndpoint).toBe("gpu:1");
    expect(await run(undefined, { kind: "expired" })).toEqual({ kind: "expired" });
  });
});
