import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { ErrorInfoSchema, QuotaFailureSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { RecoveryAction } from "../../gen/retake/v1/options_pb.js";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { RunView } from "../../gen/retake/v1/run_service_pb.js";
import { call } from "../../src/index.ts";
import type { ProcessLoadReading } from "../../src/process-load.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { msFromDuration } from "../../src/runs/time.ts";
import { createVirtualClock } from "../../src/testing/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { deferred, type Harness, rejection, startServer, stateOf, stopServer } from "./harness.ts";

async function start(...args: Parameters<typeof startServer>): Promise<Harness> {
  const harness = await startServer(...args);
  onTestFinished(() => stopServer(harness));
  return harness;
}

const plain = `${WorkflowsService.typeName}/Plain`;
const limited = `${WorkflowsService.typeName}/Limited`;

async function startRun({ runs, clock }: Harness, workflow: string, priority = 0): Promise<string> {
  const { run } = await runs.startRun({ workflow, priority });
  await clock.advance(0);
  return run?.runId ?? "";
}

describe("a full queue", () => {
  /** One run works, two wait: as many as may. */
  async function full(): Promise<Harness> {
    const harness = await start({
      limited: () => new Promise(() => {}),
      plain: async (_, context) => {
        await call(context, "child", WorkflowsService.method.limited, {});
        return {};
      },
    });
    for (let run = 0; run < 3; run++) await startRun(harness, limited);
    return harness;
  }

  it("refuses a run, however it comes, with the quota and a time to call again", async () => {
    const harness = await full();
    const errors = [
      await rejection(harness.runs.startRun({ workflow: limited }), Code.ResourceExhausted),
      await rejection(harness.workflows.limited({}), Code.ResourceExhausted),
      await rejection(harness.workflows.limited({}, { headers: { "idempotency-key": "new" } }), Code.ResourceExhausted),
      // A higher priority makes no room.
      await rejection(harness.runs.startRun({ workflow: limited, priority: 100 }), Code.ResourceExhausted),
    ];

    for (const error of errors) {
      expect(error.findDetails(QuotaFailureSchema)[0]).toMatchObject({
        violations: [{ subject: limited, description: "as many runs wait as its policy allows (queue_limit 2)" }],
      });
      expect(error.findDetails(ErrorInfoSchema)[0]).toMatchObject({
        reason: "QUEUE_FULL",
        metadata: { workflow: limited },
      });
      const delayMs = msFromDuration(error.findDetails(RetryInfoSchema)[0]?.retryDelay);
      expect(delayMs).toBeGreaterThanOrEqual(500);
      expect(delayMs).toBeLessThanOrEqual(1500);
    }
    expect((await harness.runs.listRuns({})).runs).toHaveLength(3);
  });

  it("lets callers join the runs that are there", async () => {
    const harness = await start({ limited: () => new Promise(() => {}) });
    const key = { workflow: limited, idempotencyKey: "mine" };
    await startRun(harness, limited);
    const { run } = await harness.runs.startRun(key);
    await startRun(harness, limited);
    await rejection(harness.runs.startRun({ workflow: limited }), Code.ResourceExhausted);

    const again = await harness.runs.startRun(key);
    expect(again).toMatchObject({ joined: true, run: { runId: run?.runId } });
    await rejection(harness.runs.startRun({ ...key, idempotencyKey: "another" }), Code.ResourceExhausted);
  });

  it("counts the runs that wait to be retaken: an outage does not make it longer, nor does a restart", async () => {
    const clock = createVirtualClock();
    const storage = createMemoryStorage({ clock });
    const flaky = `${WorkflowsService.typeName}/Flaky`;
    const backoff = { initialBackoff: { seconds: 60n }, maxBackoff: { seconds: 60n } };
    const config = { workflows: { [flaky]: { concurrency: { limit: 2, queueLimit: 3 }, retry: backoff } } };
    const down = () => Promise.reject(new ConnectError("down", Code.Unavailable));
    const before = await startServer({ flaky: down }, { clock, storage, config });
    const runIds: string[] = [];
    // Each finds room, fails at once and backs off: as many as may work and wait.
    for (let run = 0; run < 5; run++) runIds.push(await startRun(before, flaky));
    expect(await stateOf(before, runIds[4] ?? "")).toBe(RunState.BACKING_OFF);
    const refused = await rejection(startRun(before, flaky), Code.ResourceExhausted);
    expect(refused.findDetails(ErrorInfoSchema)[0]?.reason).toBe("QUEUE_FULL");
    await startRun(before, plain);
    await stopServer(before);
    // Two servers that begin at the same moment would draw the same ids.
    await clock.advance(1);

    const isUp = deferred();
    const flakyAgain = async () => {
      await isUp.promise;
      return { attempts: 2 };
    };
    const harness = await start({ flaky: flakyAgain }, { clock, storage, config });
    await rejection(startRun(harness, flaky), Code.ResourceExhausted);
    for (const runId of runIds.slice(0, 2)) await harness.runs.cancelRun({ runId });
    const working = [await startRun(harness, flaky), await startRun(harness, flaky)];
    expect(await stateOf(harness, working[1] ?? "")).toBe(RunState.RUNNING);
    // Three back off still, and nobody else may wait.
    await rejection(startRun(harness, flaky), Code.ResourceExhausted);
    await harness.runs.cancelRun({ runId: runIds[2] ?? "" });
    await startRun(harness, flaky);
    isUp.resolve();
    await clock.advance(90_000);
    expect(await stateOf(harness, runIds[4] ?? "")).toBe(RunState.SUCCEEDED);
    const again = await Promise.allSettled(Array.from({ length: 5 }, () => startRun(harness, flaky)));
    expect(again.map(({ status }) => status)).toEqual(Array(5).fill("fulfilled"));
  });

  it("sends nobody away from a fallback, who makes no attempt", async () => {
    const harness = await start(
      { plain: () => Promise.reject(new ConnectError("down", Code.Unavailable)), limited: () => ({}) },
      {
        config: {
          workflows: {
            [plain]: {
              concurrency: { limit: 1, queueLimit: 0 },
              retry: { initialBackoff: { seconds: 60n }, maxBackoff: { seconds: 60n } },
              circuitBreaker: { volumeThreshold: 1, errorThresholdPercentage: 1 },
              fallbacks: [limited],
            },
          },
        },
      },
    );
    const first = await startRun(harness, plain);
    expect(await stateOf(harness, first)).toBe(RunState.BACKING_OFF);
    expect(await stateOf(harness, await startRun(harness, plain))).toBe(RunState.SUCCEEDED);
  });

  it("counts retries that wait for their back-end to recover", async () => {
    const flaky = `${WorkflowsService.typeName}/Flaky`;
    const harness = await start(
      { flaky: () => Promise.reject(new ConnectError("down", Code.Unavailable)) },
      {
        config: {
          workflows: {
            [flaky]: {
              concurrency: { limit: 1, queueLimit: 1 },
              recovery: { rules: [{ action: RecoveryAction.RESTART, timeout: { seconds: 60n } }] },
            },
          },
        },
      },
      { recover: () => new Promise(() => {}) },
    );
    const first = await startRun(harness, flaky);
    await startRun(harness, flaky);
    await harness.clock.advance(10_000);
    expect((await harness.runs.getRun({ runId: first })).run).toMatchObject({
      state: RunState.QUEUED,
      wait: {
        gate: "recovery",
        reason: "its back-end recovers first: RESTART is under way at in-process, for 60 s at most",
      },
    });
    await rejection(startRun(harness, flaky), Code.ResourceExhausted);
    await harness.runs.cancelRun({ runId: first });
    await startRun(harness, flaky);
  });

  it("counts retries that wait for a budget", async () => {
    const flaky = `${WorkflowsService.typeName}/Flaky`;
    const harness = await start(
      { flaky: () => Promise.reject(new ConnectError("down", Code.Unavailable)) },
      {
        config: {
          workflows: { [flaky]: { concurrency: { limit: 1, queueLimit: 1 } } },
          backends: [
            {
              service: WorkflowsService.typeName,
              endpoints: [{ target: "in-process" }],
              retryBudget: { maxTokens: 2, tokenInterval: { seconds: 3600n } },
            },
          ],
        },
      },
    );
    const first = await startRun(harness, flaky);
    await startRun(harness, flaky);
    // Their backoff is over, and there are no retries left.
    await harness.clock.advance(10_000);
    expect((await harness.runs.getRun({ runId: first })).run?.wait?.gate).toBe("retry_budget");
    await rejection(startRun(harness, flaky), Code.ResourceExhausted);
    await harness.runs.cancelRun({ runId: first });
    await startRun(harness, flaky);
  });

  it("takes the children of runs that were accepted", async () => {
    const harness = await full();
    const parent = await startRun(harness, plain);

    expect(await stateOf(harness, parent)).toBe(RunState.RUNNING);
    const { runs } = await harness.runs.listRuns({ parentRunId: parent });
    expect(runs).toMatchObject([{ workflow: limited, state: RunState.QUEUED }]);
  });

  it("refuses before anything is stored", async () => {
    const clock = createVirtualClock();
    const storage = createMemoryStorage({ clock });
    const puts: string[] = [];
    const put = storage.payloads.put.bind(storage.payloads);
    storage.payloads.put = (runId, ...rest) => {
      puts.push(runId);
      return put(runId, ...rest);
    };
    const harness = await start({ limited: () => new Promise(() => {}) }, { clock, storage });
    for (let run = 0; run < 3; run++) await startRun(harness, limited);
    await rejection(harness.runs.startRun({ workflow: limited }), Code.ResourceExhausted);

    expect(puts).toHaveLength(3);
  });
});

describe("a limit for each principal", () => {
  it("is told as what a run waits for, with its place, how many hold it, and who", async () => {
    const gates = [deferred(), deferred()];
    const harness = await start(
      {
        plain: async () => {
          await gates.shift()?.promise;
          return {};
        },
      },
      { config: { workflows: { [plain]: { concurrency: { perPrincipal: 2 } } } } },
    );
    const [first, second] = gates;
    const ids = [];
    for (let run = 0; run < 4; run++) ids.push(await startRun(harness, plain));
    const wait = async (runId = "") => (await harness.runs.getRun({ runId, view: RunView.FULL })).run?.wait;

    expect(await wait(ids[3])).toMatchObject({
      gate: "principal",
      reason: `principal/default/in-process in workflow/${plain} is at its limit of 2: number 2 in line`,
      position: 2,
      holderCount: 2,
      holders: ids.slice(0, 2),
    });
    first?.resolve();
    await harness.clock.advance(1);
    expect(await stateOf(harness, ids[3] ?? "")).toBe(RunState.SUCCEEDED);
    second?.resolve();
  });
});

describe("a server in trouble", () => {
  const calm: ProcessLoadReading = { eventLoopDelayMs: 0, memoryShare: 0 };

  /** A server whose process is as loaded as the test says. */
  async function troubled(own: Parameters<typeof startServer>[0] = {}, config: object = {}) {
    const process = { reading: calm };
    const harness = await start(own, {
      config,
      load: { start: () => {}, read: () => process.reading, stop: () => {} },
    });
    const overload = async () => {
      process.reading = { eventLoopDelayMs: 10_000, memoryShare: 0.1 };
      for (let period = 0; period < 8; period++) {
        // Runs that are offered are what makes it look.
        await harness.runs.startRun({ workflow: plain, priority: -100 }).catch(() => undefined);
        await harness.runs.startRun({ workflow: plain }).catch(() => undefined);
        await harness.clock.advance(500);
      }
    };
    return { harness, process, overload };
  }

  it("refuses new runs, but those of the highest priority", async () => {
    const { harness, overload } = await troubled();
    await overload();
    const refusals = [
      await rejection(harness.runs.startRun({ workflow: plain }), Code.Unavailable),
      await rejection(harness.workflows.plain({}), Code.Unavailable),
      await rejection(harness.workflows.plain({}, { headers: { "retake-priority": "99" } }), Code.Unavailable),
      await rejection(harness.workflows.keyed({}, { headers: { "idempotency-key": "new" } }), Code.Unavailable),
    ];
    expect(refusals.map((error) => error.findDetails(ErrorInfoSchema)[0]?.reason)).toEqual(
      refusals.map(() => "OVERLOADED"),
    );

    await harness.workflows.plain({}, { headers: { "retake-priority": "100" } });
    await harness.runs.startRun({ workflow: plain, priority: 100 });
  });

  it("refuses at once what has a key, too, while its journal takes seconds to look for that", async () => {
    const { harness, overload } = await troubled();
    await overload();
    const found = deferred<undefined>();
    const looked: string[] = [];
    harness.storage.journal.findRunByKey = (_owner, _workflow, key) => {
      looked.push(key);
      return found.promise;
    };
    const reasons: unknown[] = [];
    const ask = (key: string) =>
      harness.workflows
        .keyed({}, { headers: { "idempotency-key": key } })
        .catch((error) => reasons.push(ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.reason));
    void ask("new");
    void ask("newer");
    await harness.clock.advance(1);
    expect(reasons).toEqual(["OVERLOADED", "OVERLOADED"]);
    // Others would wait for the same.
    void ask("newest");
    await harness.clock.advance(0);
    expect(reasons).toHaveLength(3);
    expect(looked).toEqual(["new", "newer"]);
    found.resolve(undefined);
    await harness.clock.advance(0);
    await ask("newest");
    expect(looked).toEqual(["new", "newer", "newest"]);
    expect(reasons).toHaveLength(4);
  });

  it("goes on with what it has: runs, their children, their callers, and who reads or cancels them", async () => {
    const go = deferred();
    const { harness, overload } = await troubled({
      keyed: async (_, context) => {
        await go.promise;
        await call(context, "child", WorkflowsService.method.plain, {});
        return { text: "done" };
      },
      limited: () => new Promise(() => {}),
    });
    const headers = { "idempotency-key": "mine" };
    const parent = harness.workflows.keyed({ text: "x" }, { headers });
    const stuck = await startRun(harness, limited);
    await overload();
    await rejection(harness.runs.startRun({ workflow: plain }), Code.Unavailable);

    const joined = harness.workflows.keyed({ text: "x" }, { headers });
    expect(await stateOf(harness, stuck)).toBe(RunState.RUNNING);
    const cancelled = harness.runs.cancelRun({ runId: stuck, reason: "" });
    await harness.clock.advance(30_000);
    expect((await cancelled).run?.runId).toBe(stuck);
    go.resolve();
    await harness.clock.advance(1);
    expect(await parent).toMatchObject({ text: "done" });
    expect(await joined).toMatchObject({ text: "done" });
  });

  it("keeps nothing of a run that it refuses, and takes all again when it is well", async () => {
    const { harness, process, overload } = await troubled();
    await overload();
    const before = (await harness.runs.listRuns({ pageSize: 1000 })).runs.length;
    await rejection(harness.runs.startRun({ workflow: plain }), Code.Unavailable);
    expect((await harness.runs.listRuns({ pageSize: 1000 })).runs).toHaveLength(before);

    process.reading = calm;
    await harness.clock.advance(30_000);
    await harness.runs.startRun({ workflow: plain, priority: -100 });
    expect((await harness.runs.listRuns({ pageSize: 1000 })).runs).toHaveLength(before + 1);
  });

  it("takes whatever comes where the configuration says so", async () => {
    const { harness, overload } = await troubled({}, { overload: { disabled: true } });
    await overload();

    await harness.runs.startRun({ workflow: plain, priority: -100 });
  });

  it("holds its own thresholds", async () => {
    const { harness, process } = await troubled({}, { overload: { memoryPercentage: 50 } });
    process.reading = { eventLoopDelayMs: 0, memoryShare: 0.6 };
    const outcomes: string[] = [];
    for (let period = 0; period < 12; period++) {
      outcomes.push(
        await harness.runs.startRun({ workflow: plain }).then(
          () => "taken",
          (error) => error.findDetails(ErrorInfoSchema)[0]?.metadata.signal,
        ),
      );
      await harness.clock.advance(500);
    }

    expect(outcomes[0]).toBe("taken");
    expect(outcomes.at(-1)).toBe("memory");
  });
});

describe("the metadata retake-priority", () => {
  it("is the priority of a direct call", async () => {
    const harness = await start({ plain: () => new Promise(() => {}) });
    const leave = new AbortController();
    const left = harness.workflows.plain({}, { headers: { "retake-priority": "-7" }, signal: leave.signal });
    await harness.clock.advance(0);
    expect((await harness.runs.listRuns({})).runs).toMatchObject([{ priority: -7 }]);
    leave.abort();
    await rejection(left, Code.Canceled);
  });

  it.each(["101", "-101", "1.5", "high", "", "1e2"])("is refused when it is no priority: %j", async (value) => {
    const harness = await start();
    const error = await rejection(
      harness.workflows.plain({}, { headers: new Headers([["retake-priority", value]]) }),
      Code.InvalidArgument,
    );

    expect(error.rawMessage).toContain("the metadata retake-priority is a whole number from -100 to 100, and not");
  });
});
