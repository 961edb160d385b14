import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { FailureCategory, RecoveryAction } from "../../gen/retake/v1/options_pb.js";
import type { Backend, FailedJob } from "../../src/backends/backend.ts";
import { Recoveries } from "../../src/backends/recoveries.ts";
import { createFailure, type FailedAttempt, type RunRequest } from "../../src/runs/index.ts";
import { createVirtualClock } from "../../src/testing/index.ts";

const startMs = Date.UTC(2026, 0, 1);

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
  const recoveries = new Recoveries({
    clock,
    endpoints: { backend: (target) => (target === "gone:1" ? undefined : backend), switchFrom },
  });
  const act = (action: RecoveryAction, more: { failedMs?: number; endpoint?: string; runId?: string } = {}) => {
    const { runId = "run-1", endpoint = "gpu:1" } = more;
    return recoveries.act(
      { action, categories: new Set(), timeoutMs: 5_000, cooldownMs: 60_000 },
      {
        workflow: { name: "a.B/C", service: { typeName: "a.B" } },
        run: { accepted: { runId } },
      } as unknown as RunRequest,
      {
        number: 2,
        token: `${runId}.2`,
        endpoint,
        startedMs: startMs,
        failedMs: more.failedMs ?? clock.now(),
        failure: createFailure({ code: Code.Internal, reason: "X", message: "x", category: FailureCategory.MEMORY }),
        recoveries: [],
      } satisfies FailedAttempt,
    );
  };
  return { clock, act, jobs, close: () => recoveries.close() };
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
