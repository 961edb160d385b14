import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { FailureCategory, RecoveryAction } from "../../gen/retake/v1/options_pb.js";
import { FailureSchema, RunState } from "../../gen/retake/v1/run_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import type { ServiceJobs } from "../../src/index.ts";
import { createFailure } from "../../src/runs/index.ts";
import { createTestServer, type TestServerOptions } from "../../src/testing/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { handlers } from "./handlers.ts";
import { eventsOf, type Harness, kindsOf, stateOf, stopServer } from "./harness.ts";

const { FREE_MEMORY, RELOAD_MODEL } = RecoveryAction;
const flaky = `${WorkflowsService.typeName}/Flaky`;

const config = {
  workflows: {
    [flaky]: {
      retry: { retryableCategories: [FailureCategory.MEMORY] },
      recovery: {
        rules: [
          { categories: [FailureCategory.MEMORY], action: FREE_MEMORY, timeout: { seconds: 5n } },
          { categories: [FailureCategory.MEMORY], action: RELOAD_MODEL, cooldown: {} },
        ],
      },
    },
  },
};

/** A server on virtual time whose handlers offer something beside carrying out workflows. */
async function start(
  own: Parameters<typeof handlers>[0],
  jobs: ServiceJobs,
  options: Omit<TestServerOptions, "config"> = {},
): Promise<Harness> {
  const test = createTestServer({ ...options, config });
  test.server.implement(WorkflowsService, handlers(own), jobs);
  const listening = test.server.listen();
  await test.clock.advance(0);
  await listening;
  const harness = {
    ...test,
    workflows: createClient(WorkflowsService, test.server.transport),
    runs: createClient(RunService, test.server.transport),
  };
  onTestFinished(() => stopServer(harness));
  return harness;
}

function outOfMemory(): ConnectError {
  const failure = createFailure({
    code: Code.ResourceExhausted,
    reason: "OUT_OF_MEMORY",
    message: "CUDA out of memory",
    category: FailureCategory.MEMORY,
  });
  const error = new ConnectError(failure.message, failure.code);
  error.details.push({ desc: FailureSchema, value: failure });
  return error;
}

async function startRun({ runs, clock }: Harness, workflow = flaky): Promise<string> {
  const { run } = await runs.startRun({ workflow });
  await clock.advance(0);
  return run?.runId ?? "";
}

const failingOnce: Parameters<typeof handlers>[0] = {
  flaky: (_, { run }) => {
    if (run.attempt === 1) throw outOfMemory();
    return { attempts: run.attempt };
  },
};

describe("recovery", () => {
  it("comes at the start of the turn after a failed attempt, and before the next one", async () => {
    const recovered: RecoveryAction[] = [];
    const harness = await start(failingOnce, {
      recover: async (action, { failure }) => {
        recovered.push(action);
        expect(failure.category).toBe(FailureCategory.MEMORY);
        if (action === RELOAD_MODEL) throw new Error("the disk is slow");
        return true;
      },
    });
    const runId = await startRun(harness);
    expect(recovered).toEqual([]);
    await harness.clock.advance(2_000);
    const events = await eventsOf(harness, runId);
    expect(kindsOf(events).slice(2)).toEqual([
      "attemptFailed",
      "retryScheduled",
      "woken",
      "recoveryActed",
      "recoveryActed",
      "attemptStarted",
      "succeeded",
    ]);
    expect(events.flatMap(({ event }) => (event.case === "recoveryActed" ? [event.value.error] : []))).toEqual([
      "",
      "the disk is slow",
    ]);
    expect(recovered).toEqual([FREE_MEMORY, RELOAD_MODEL]);
  });

  it("that fails does not hide what the run failed with", async () => {
    const harness = await start(
      {
        flaky: () => {
          throw outOfMemory();
        },
      },
      {
        recover: async () => {
          throw new Error("no hands");
        },
      },
    );
    const runId = await startRun(harness);
    await harness.clock.advance(60_000);
    const { run } = await harness.runs.getRun({ runId });
    expect(run).toMatchObject({
      state: RunState.FAILED,
      failure: { reason: "OUT_OF_MEMORY" },
      statistics: { attempts: 4 },
    });
  });

  it("is done once for a failed attempt, over a restart too", async () => {
    const recovered: RecoveryAction[] = [];
    const hanging = (action: RecoveryAction) => {
      recovered.push(action);
      return action === RELOAD_MODEL ? new Promise<never>(() => {}) : Promise.resolve(true);
    };
    const before = await start(failingOnce, { recover: hanging });
    const runId = await startRun(before);
    await before.clock.advance(2_000);
    expect(recovered).toEqual([FREE_MEMORY, RELOAD_MODEL]);
    await stopServer(before);
    const after = await start(
      failingOnce,
      {
        recover: async (action) => {
          recovered.push(action);
          return true;
        },
      },
      { clock: before.clock, storage: before.storage },
    );
    await after.clock.advance(0);
    expect(recovered).toEqual([FREE_MEMORY, RELOAD_MODEL, RELOAD_MODEL]);
    expect(await stateOf(after, runId)).toBe(RunState.SUCCEEDED);
    const acted = (await eventsOf(after, runId)).flatMap(({ event }) =>
      event.case === "recoveryActed" ? [event.value.action] : [],
    );
    expect(acted).toEqual([FREE_MEMORY, RELOAD_MODEL]);
  });

  it("is cut off after its time, and lets a run be cancelled meanwhile", async () => {
    const harness = await start(failingOnce, { recover: () => new Promise(() => {}) });
    const [slow, cancelled] = [await startRun(harness), await startRun(harness)];
    await harness.clock.advance(2_000);
    await harness.runs.cancelRun({ runId: cancelled });
    await harness.clock.advance(0);
    expect(await stateOf(harness, cancelled)).toBe(RunState.CANCELLED);
    expect(kindsOf(await eventsOf(harness, cancelled))).not.toContain("recoveryActed");
    // The second action has a time of 30 s.
    await harness.clock.advance(40_000);
    expect(await stateOf(harness, slow)).toBe(RunState.SUCCEEDED);
    const errors = (await eventsOf(harness, slow)).flatMap(({ event }) =>
      event.case === "recoveryActed" ? [event.value.error] : [],
    );
    expect(errors).toEqual(["it took longer than its 5000 ms", "it took longer than its 30000 ms"]);
  });

  it("is done once at an endpoint for all that fail together", async () => {
    let freed = 0;
    const harness = await start(failingOnce, {
      recover: async (action) => {
        freed += action === FREE_MEMORY ? 1 : 0;
        return action === FREE_MEMORY;
      },
    });
    const ids = await Promise.all(Array.from({ length: 20 }, () => startRun(harness)));
    await harness.clock.advance(5_000);
    for (const runId of ids) expect(await stateOf(harness, runId)).toBe(RunState.SUCCEEDED);
    expect(freed).toBe(1);
  });
});

describe("1,000 runs that wait for one recovery", () => {
  it("take no turns: a drain ends at once, and all go on at the next server, when that has recovered", async () => {
    const hands: PromiseWithResolvers<boolean>[] = [];
    const signals: AbortSignal[] = [];
    const jobs: ServiceJobs = {
      recover: (action, _, signal) => {
        if (action !== FREE_MEMORY) return Promise.resolve(false);
        signals.push(signal);
        hands.push(Promise.withResolvers());
        return hands[hands.length - 1]?.promise ?? Promise.resolve(false);
      },
    };
    const before = await start(failingOnce, jobs);
    const started = Array.from({ length: 1_000 }, () => before.runs.startRun({ workflow: flaky }));
    await before.clock.advance(0);
    const ids = (await Promise.all(started)).map(({ run }) => run?.runId ?? "");
    await before.clock.advance(2_000);
    expect(hands).toHaveLength(1);
    const listed = await before.runs.listRuns({ pageSize: 1_000 });
    expect(new Set(listed.runs.map(({ state, wait }) => `${RunState[state]} ${wait?.gate}`))).toEqual(
      new Set(["QUEUED recovery"]),
    );

    const closed = before.server.close({ drainTimeoutMs: 60_000 });
    await before.clock.advance(0);
    await closed;
    expect(signals[0]?.aborted).toBe(true);

    const after = await start(failingOnce, jobs, { clock: before.clock, storage: before.storage });
    await after.clock.advance(1_000);
    expect(hands).toHaveLength(2);
    expect(await stateOf(after, ids[999] ?? "")).toBe(RunState.QUEUED);
    hands[1]?.resolve(true);
    await after.clock.advance(1_000);
    const ended = await after.runs.listRuns({ pageSize: 1_000, states: [RunState.SUCCEEDED] });
    expect(ended.runs.map(({ runId }) => runId).sort()).toEqual(ids.sort());
    expect(hands).toHaveLength(2);
    expect(kindsOf(await eventsOf(after, ids[500] ?? "")).filter((kind) => kind === "recoveryActed")).toHaveLength(1);
  });

  it("are woken by the next server when theirs was killed in the middle of it", async () => {
    const before = await start(failingOnce, { recover: () => new Promise(() => {}) });
    const ids = [await startRun(before), await startRun(before)];
    await before.clock.advance(2_000);
    const recovered: RecoveryAction[] = [];
    // The one before is not told to stop: whatever it has in memory, nobody takes over.
    const after = await start(
      failingOnce,
      { recover: async (action) => recovered.push(action) > 0 },
      { clock: before.clock, storage: before.storage },
    );
    await after.clock.advance(0);
    for (const runId of ids) expect(await stateOf(after, runId)).toBe(RunState.SUCCEEDED);
    expect(recovered).toEqual([FREE_MEMORY, RELOAD_MODEL]);
  });
});

describe("a probe", () => {
  const hurried = `${WorkflowsService.typeName}/Hurried`;
  const never = { hurried: () => new Promise<never>(() => {}) };

  it("keeps a silent attempt going while its job lives, up to its own time", async () => {
    const asked: string[] = [];
    const harness = await start(never, {
      probe: async ({ token, attempt, workflow }) => {
        asked.push(`${workflow} ${attempt} ${token}`);
        return { alive: true };
      },
    });
    const runId = await startRun(harness, hurried);
    await harness.clock.advance(9_999);
    expect(await stateOf(harness, runId)).toBe(RunState.RUNNING);
    expect(asked).toEqual(Array(3).fill(`${hurried} 1 ${runId}.1`));
    await harness.clock.advance(1);
    expect((await harness.runs.getRun({ runId })).run?.failure?.reason).toBe("ATTEMPT_TIMEOUT");
  });

  it("that says no has the attempt cut off as STALLED, with its reason", async () => {
    const harness = await start(never, { probe: async () => ({ alive: false, reason: "the queue was emptied" }) });
    const runId = await startRun(harness, hurried);
    await harness.clock.advance(4_000);
    expect((await harness.runs.getRun({ runId })).run?.failure).toMatchObject({
      code: Code.Unavailable,
      reason: "STALLED",
      message: "the attempt was silent for 3000 ms (progress_timeout): the queue was emptied",
    });
  });
});

describe("a job whose server was lost", () => {
  it("is cancelled by the next one when its caller has gone with it", async () => {
    const never = { plain: () => new Promise<never>(() => {}) };
    const before = await start(never, {});
    const call = before.workflows.plain({}).catch(() => undefined);
    await before.clock.advance(0);
    const { runs } = await before.runs.listRuns({});
    const runId = runs[0]?.runId ?? "";
    const cancelled: unknown[] = [];
    const after = await start(
      never,
      { cancel: async (job) => void cancelled.push(job) },
      { clock: before.clock, storage: before.storage },
    );
    expect(cancelled).toEqual([
      { workflow: `${WorkflowsService.typeName}/Plain`, runId, attempt: 1, token: `${runId}.1` },
    ]);
    expect(await stateOf(after, runId)).toBe(RunState.CANCELLED);
    await stopServer(before);
    await call;
  });
});
