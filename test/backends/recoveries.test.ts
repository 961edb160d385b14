import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { FailureCategory, RecoveryAction } from "../../gen/retake/v1/options_pb.js";
import type { Backend, FailedJob } from "../../src/backends/backend.ts";
import { Recoveries } from "../../src/backends/recoveries.ts";
import { createFailure, type FailedAttempt, type RunRequest } from "../../src/runs/index.ts";
import { createVirtualClock } from "../../src/testing/index.ts";

const startMs = Date.UTC(2026, 0, 1);

interface More {
  readonly failedMs?: number;
  readonly endpoint?: string;
  readonly runId?: string;
  readonly attempt?: number;
  readonly priority?: number;
}

function recoveriesOf(recover: Backend["recover"], switchFrom = async () => true) {
  const clock = createVirtualClock({ startMs });
  const jobs: FailedJob[] = [];
  const backend = {
    call: () => Promise.resolve(),
    ...(recover && {
      recover: (...args: Parameters<NonNullable<Backend["recover"]>>) => {
        jobs.push(args[1]);
        return recover(...args);
      },
    }),
  };
  const woken: [runId: string, priority: number][] = [];
  const waking = new Map<string, () => void>();
  const recoveries = new Recoveries({
    clock,
    endpoints: { backend: (target) => (target === "gone:1" ? undefined : backend), switchFrom },
    wake: (runId, priority) => {
      woken.push([runId, priority]);
      waking.get(runId)?.();
    },
  });
  const next = (actions: readonly RecoveryAction[], more: More = {}) => {
    const { runId = "run-1", endpoint = "gpu:1", attempt = 2, priority = 0 } = more;
    return recoveries.next(
      actions.map((action) => ({ action, categories: new Set(), timeoutMs: 5_000, cooldownMs: 60_000 })),
      {
        workflow: { name: "a.B/C", service: { typeName: "a.B" } },
        run: { accepted: { runId, priority } },
      } as unknown as RunRequest,
      {
        number: attempt,
        token: `${runId}.${attempt}`,
        endpoint,
        startedMs: startMs,
        failedMs: more.failedMs ?? clock.now(),
        failure: createFailure({ code: Code.Internal, reason: "X", message: "x", category: FailureCategory.MEMORY }),
        recoveries: [],
      } satisfies FailedAttempt,
    );
  };
  /** What has come of it for a run that waits, is woken, and asks again. */
  const act = async (action: RecoveryAction, more: More = {}) => {
    const failure = { failedMs: clock.now(), ...more };
    let step = next([action], failure);
    if (step?.kind === "blocked") {
      const { runId = "run-1" } = more;
      await new Promise<void>((resolve) => waking.set(runId, resolve));
      step = next([action], failure);
    }
    expect(step?.kind).not.toBe("blocked");
    return step?.kind === "acted" ? { error: step.error } : undefined;
  };
  return { clock, recoveries, next, act, jobs, woken, close: () => recoveries.close() };
}

const { FREE_MEMORY, INTERRUPT, RESTART, SWITCH_ENDPOINT } = RecoveryAction;

describe("a recovery action", () => {
  it("is done for what fails after the clock has been set back", async () => {
    const { clock, act, jobs } = recoveriesOf(async () => true);
    await act(RESTART);
    clock.jump(-3_600_000);
    await clock.advance(60_000);
    expect(await act(RESTART)).toEqual({ error: "" });
    expect(jobs).toHaveLength(2);
  });

  it("is about the job that failed, and done", async () => {
    const { act, jobs } = recoveriesOf(async () => true);
    expect(await act(FREE_MEMORY)).toEqual({ error: "" });
    expect(jobs).toEqual([
      {
        workflow: "a.B/C",
        runId: "run-1",
        attempt: 2,
        token: "run-1.2",
        failure: expect.objectContaining({ reason: "X" }),
      },
    ]);
  });

  it("is nothing where it is not offered, or its endpoint is gone", async () => {
    const notOffered = recoveriesOf(async () => false);
    expect(await notOffered.act(FREE_MEMORY)).toBeUndefined();
    expect(await notOffered.act(FREE_MEMORY)).toBeUndefined();
    expect(notOffered.jobs).toHaveLength(2);
    expect(await notOffered.act(FREE_MEMORY, { endpoint: "gone:1" })).toBeUndefined();
    expect(await recoveriesOf(undefined).act(FREE_MEMORY)).toBeUndefined();
  });

  it("is under way once at an endpoint: all who need it wait for that one", async () => {
    const done = Promise.withResolvers<boolean>();
    const { act, jobs } = recoveriesOf(() => done.promise);
    const acts = ["a", "b", "c"].map((runId) => act(RESTART, { runId }));
    const elsewhere = act(RESTART, { endpoint: "gpu:2" });
    done.resolve(true);
    expect(await Promise.all([...acts, elsewhere])).toEqual(Array(4).fill({ error: "" }));
    expect(jobs.map(({ runId }) => runId)).toEqual(["a", "run-1"]);
  });

  it("answers what failed before its end, or within the cool-down after that, however late that asks", async () => {
    const { clock, act, jobs } = recoveriesOf(async () => true);
    await act(RESTART);
    expect(await act(RESTART, { failedMs: clock.now() - 1_000 })).toBeUndefined();
    const lateMs = clock.now() + 59_999;
    await clock.advance(600_000);
    expect(await act(RESTART, { failedMs: lateMs })).toBeUndefined();
    expect(jobs).toHaveLength(1);
    expect(await act(RESTART, { failedMs: lateMs + 1 })).toEqual({ error: "" });
    expect(await act(FREE_MEMORY, { failedMs: lateMs })).toEqual({ error: "" });
  });

  it("is cut off when its time is over, and told to stop", async () => {
    const signals: AbortSignal[] = [];
    const { clock, act } = recoveriesOf((_, __, signal) => {
      signals.push(signal);
      return new Promise(() => {});
    });
    const acted = act(RESTART);
    await clock.advance(5_000);
    expect(await acted).toEqual({ error: "it took longer than its 5000 ms" });
    expect(signals[0]?.aborted).toBe(true);
    expect(clock.pendingTimers).toBe(0);
  });

  it("is not waited for when the server stops", async () => {
    const { clock, act, close } = recoveriesOf(() => new Promise(() => {}));
    const acted = act(RESTART);
    close();
    expect(await acted).toEqual({ error: "the server stops" });
    expect(await act(INTERRUPT)).toEqual({ error: "the server stops" });
    expect(clock.pendingTimers).toBe(0);
  });

  it.each([
    [new ConnectError("no card", Code.FailedPrecondition), "no card"],
    [new Error(""), "it failed without a word"],
    ["a string", "a string"],
    [new Error("x".repeat(5_000)), "x".repeat(1_000)],
  ])("that fails says why: %s", async (thrown, error) => {
    const { act } = recoveriesOf(async () => {
      throw thrown;
    });
    expect(await act(RESTART)).toEqual({ error });
  });

  it("that concerns one run alone is done for each", async () => {
    let switched = 0;
    const { act, jobs } = recoveriesOf(
      async () => true,
      async () => ++switched > 0,
    );
    for (const runId of ["a", "b"]) {
      expect(await act(INTERRUPT, { runId })).toEqual({ error: "" });
      expect(await act(SWITCH_ENDPOINT, { runId })).toEqual({ error: "" });
    }
    expect(jobs.map(({ token }) => token)).toEqual(["a.2", "b.2"]);
    expect(switched).toBe(2);
  });
});

describe("a run that waits for a recovery action", () => {
  it("is blocked until it has ended, however often it asks, then woken and told what has come of it, once", async () => {
    const done = Promise.withResolvers<boolean>();
    const { clock, recoveries, next, jobs, woken } = recoveriesOf(() => done.promise);
    const blocked = {
      kind: "blocked",
      gate: "recovery",
      reason: "its back-end recovers first: RESTART is under way at gpu:1, for 5 s at most",
    };
    for (const runId of ["a", "b", "a"]) expect(next([RESTART], { runId, priority: 3 })).toEqual(blocked);
    expect(recoveries.place("b")?.reason).toBe(blocked.reason);
    expect(recoveries.place("c")).toBeUndefined();
    expect(woken).toEqual([]);
    done.resolve(true);
    await clock.advance(0);
    expect(woken).toEqual([
      ["a", 3],
      ["b", 3],
    ]);
    expect(recoveries.place("b")).toBeUndefined();
    for (const runId of ["a", "b"]) {
      expect(next([RESTART], { runId })).toEqual({ kind: "acted", action: RESTART, error: "" });
      expect(next([RESTART], { runId, failedMs: startMs })).toBeUndefined();
    }
    expect(jobs).toHaveLength(1);
  });

  it("comes back to where it was: what was passed over before is not done behind it", async () => {
    const hands = new Map([[RESTART, Promise.withResolvers<boolean>()]]);
    const { clock, next, jobs } = recoveriesOf((action) => hands.get(action)?.promise ?? Promise.resolve(false));
    const rules = [INTERRUPT, FREE_MEMORY, RESTART];
    for (const _ of rules) {
      expect(next(rules)?.kind).toBe("blocked");
      await clock.advance(0);
    }
    expect(jobs).toHaveLength(3);
    hands.get(RESTART)?.resolve(true);
    await clock.advance(0);
    expect(next(rules)).toEqual({ kind: "acted", action: RESTART, error: "" });
    expect(jobs).toHaveLength(3);
  });

  it("asks anew for another attempt, and where its policy does not name any more what it waited for", async () => {
    const { clock, next, jobs } = recoveriesOf(async () => true);
    expect(next([INTERRUPT])?.kind).toBe("blocked");
    await clock.advance(0);
    expect(next([INTERRUPT], { attempt: 3 })?.kind).toBe("blocked");
    await clock.advance(0);
    expect(next([RESTART], { attempt: 3 })?.kind).toBe("blocked");
    expect(jobs.map(({ attempt }) => attempt)).toEqual([2, 3, 3]);
    expect(next([], { attempt: 3 })).toBeUndefined();
  });

  it("is not woken when it has withdrawn: the action goes on for the others", async () => {
    const done = Promise.withResolvers<boolean>();
    const { clock, recoveries, next, woken } = recoveriesOf(() => done.promise);
    for (const runId of ["a", "b"]) next([RESTART], { runId });
    recoveries.withdraw("a");
    expect(recoveries.place("a")).toBeUndefined();
    done.resolve(true);
    await clock.advance(0);
    expect(woken).toEqual([["b", 0]]);
    expect(next([RESTART], { runId: "a", failedMs: startMs - 1 })).toBeUndefined();
  });
});
