import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { FailureSchema, RunState } from "../../gen/retake/v1/run_pb.js";
import { silentLogger } from "../../src/runs/logger.ts";
import { durationFromMs, msFromTimestamp } from "../../src/runs/time.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { deferred, eventsOf, type Harness, kindsOf, rejection, startServer, stateOf, stopServer } from "./harness.ts";

async function start(...args: Parameters<typeof startServer>): Promise<Harness> {
  const harness = await startServer(...args);
  onTestFinished(() => stopServer(harness));
  return harness;
}

async function startRun({ runs, clock }: Harness, method: string, json = "{}"): Promise<string> {
  const { run } = await runs.startRun({
    workflow: `${WorkflowsService.typeName}/${method}`,
    input: { case: "json", value: json },
  });
  await clock.advance(0);
  return run?.runId ?? "";
}

const unavailable = () => new ConnectError("back-end away", Code.Unavailable);

describe("retry", () => {
  it("retakes a failed attempt after a growing, jittered backoff that is an event", async () => {
    const harness = await start({
      flaky: (_, { run }) => {
        if (run.attempt < 4) throw unavailable();
        return { attempts: run.attempt };
      },
    });
    const runId = await startRun(harness, "Flaky");
    expect(await stateOf(harness, runId)).toBe(RunState.BACKING_OFF);
    await harness.clock.advance(30_000);
    const events = await eventsOf(harness, runId);
    expect(kindsOf(events)).toEqual([
      "accepted",
      ...Array.from({ length: 3 }, () => ["attemptStarted", "attemptFailed", "retryScheduled", "woken"]).flat(),
      "attemptStarted",
      "succeeded",
    ]);
    const waits = events.flatMap(({ time, event }) =>
      event.case === "retryScheduled" ? [msFromTimestamp(event.value.wakeAt) - msFromTimestamp(time)] : [],
    );
    [1000, 2000, 4000].forEach((baseMs, index) => {
      expect(waits[index]).toBeGreaterThanOrEqual(baseMs * 0.8 - 1);
      expect(waits[index]).toBeLessThanOrEqual(baseMs * 1.2);
    });
    expect(waits[0]).not.toBe(1000);
    const { run } = await harness.runs.getRun({ runId });
    expect(run?.statistics).toMatchObject({ attempts: 4, retries: 3, interruptions: 0 });
  });

  it("gives up after max_attempts with the last failure, and tells callers when to come back", async () => {
    const harness = await start({
      flaky: (_, { run }) => {
        throw new ConnectError(`attempt ${run.attempt}`, Code.Unavailable);
      },
    });
    const call = rejection(harness.workflows.flaky({}), Code.Unavailable);
    await harness.clock.advance(60_000);
    const error = await call;
    expect(error.rawMessage).toBe("attempt 4");
    expect(Number(error.metadata.get("grpc-retry-pushback-ms"))).toBeGreaterThan(0);
    expect(error.findDetails(RetryInfoSchema)).toHaveLength(1);
  });

  it("does not retake what the policy does not list", async () => {
    let executed = 0;
    const harness = await start({
      flaky: () => {
        executed += 1;
        throw new ConnectError("no", Code.Internal);
      },
    });
    await rejection(harness.workflows.flaky({}), Code.Internal);
    expect(executed).toBe(1);
  });

  it("retakes a code that is hopeless by itself where the policy lists it", async () => {
    const harness = await start({
      flaky: (_, { run }) => {
        if (run.attempt === 1) throw new ConnectError("warming up", Code.FailedPrecondition);
        return { attempts: run.attempt };
      },
    });
    const call = harness.workflows.flaky({});
    await harness.clock.advance(5_000);
    expect((await call).attempts).toBe(2);
  });

  it("waits as long as the back-end says, by RetryInfo or pushback, and stops when it says never", async () => {
    for (const [error, waitMs] of [
      [
        new ConnectError("busy", Code.Unavailable, undefined, [
          { desc: RetryInfoSchema, value: { retryDelay: durationFromMs(7000) } },
        ]),
        7000,
      ],
      [new ConnectError("busy", Code.Unavailable, { "grpc-retry-pushback-ms": "5000" }), 5000],
      [new ConnectError("busy", Code.Unavailable, { "grpc-retry-pushback-ms": "-1" }), undefined],
      [new ConnectError("busy", Code.Unavailable, { "grpc-retry-pushback-ms": "soon" }), undefined],
    ] as const) {
      const harness = await start({
        flaky: (_, { run }) => {
          if (run.attempt === 1) throw error;
          return {};
        },
      });
      const runId = await startRun(harness, "Flaky");
      if (waitMs === undefined) {
        expect(await stateOf(harness, runId)).toBe(RunState.FAILED);
        continue;
      }
      await harness.clock.advance(waitMs - 1);
      expect(await stateOf(harness, runId)).toBe(RunState.BACKING_OFF);
      await harness.clock.advance(1);
      expect(await stateOf(harness, runId)).toBe(RunState.SUCCEEDED);
    }
  });

  it("never waits past the run's deadline", async () => {
    const harness = await start({
      flaky: () => {
        throw new ConnectError("busy", Code.Unavailable, { "grpc-retry-pushback-ms": "700000" });
      },
    });
    const runId = await startRun(harness, "Flaky");
    expect(await stateOf(harness, runId)).toBe(RunState.FAILED);
  });

  it("takes a Failure that the handler makes at its word", async () => {
    let executed = 0;
    const harness = await start({
      flaky: () => {
        executed += 1;
        throw new ConnectError("no", Code.Unavailable, undefined, [
          { desc: FailureSchema, value: { code: Code.Unavailable, reason: "MINE", message: "no", retryable: false } },
        ]);
      },
    });
    const error = await rejection(harness.workflows.flaky({}), Code.Unavailable);
    expect(executed).toBe(1);
    expect(error.findDetails(FailureSchema)[0]?.reason).toBe("MINE");
  });
});

describe("deadline", () => {
  it("expires a run that works, tells its handler, and drops what comes later", async () => {
    const late = deferred<{ text: string }>();
    let reason: unknown;
    const harness = await start({
      plain: (_, context) => {
        context.signal.addEventListener("abort", () => (reason = context.signal.reason));
        return late.promise;
      },
    });
    const { run } = await harness.runs.startRun({
      workflow: `${WorkflowsService.typeName}/Plain`,
      timeout: durationFromMs(5000),
    });
    const runId = run?.runId ?? "";
    await harness.clock.advance(4999);
    expect(await stateOf(harness, runId)).toBe(RunState.RUNNING);
    await harness.clock.advance(1);
    expect(await stateOf(harness, runId)).toBe(RunState.EXPIRED);
    expect(String(reason)).toContain("deadline");
    late.resolve({ text: "too late" });
    await harness.clock.advance(1000);
    expect(kindsOf(await eventsOf(harness, runId))).toEqual(["accepted", "attemptStarted", "attemptFailed", "expired"]);
  });

  it("expires a run that waits to be retaken", async () => {
    const harness = await start({
      flaky: () => {
        throw new ConnectError("busy", Code.Unavailable, { "grpc-retry-pushback-ms": "400000" });
      },
    });
    const runId = await startRun(harness, "Flaky");
    await harness.clock.advance(400_000);
    expect(await stateOf(harness, runId)).toBe(RunState.FAILED);
  });

  it("expires a run that waits for a permit, at its deadline and without waiting for the permit", async () => {
    const harness = await start({ limited: () => new Promise(() => {}) });
    await startRun(harness, "Limited");
    const { run } = await harness.runs.startRun({
      workflow: `${WorkflowsService.typeName}/Limited`,
      timeout: durationFromMs(2000),
    });
    await harness.clock.advance(2000);
    expect(await stateOf(harness, run?.runId ?? "")).toBe(RunState.EXPIRED);
  });

  it("answers an attached caller DEADLINE_EXCEEDED", async () => {
    const harness = await start({ plain: () => new Promise(() => {}) });
    const call = rejection(harness.workflows.plain({}), Code.DeadlineExceeded);
    await harness.clock.advance(24 * 60 * 60 * 1000);
    await call;
  });
});

describe("timeout", () => {
  it("ends an attempt after attempt_timeout as UNAVAILABLE, not as DEADLINE_EXCEEDED", async () => {
    const harness = await start({
      hurried: (_, context) => {
        const tick = (): void => {
          context.progress({ stage: "working" });
          harness.clock.setTimeout(tick, 1000);
        };
        tick();
        return new Promise(() => {});
      },
    });
    const call = rejection(harness.workflows.hurried({}), Code.Unavailable);
    await harness.clock.advance(9_999);
    await harness.clock.advance(1);
    expect((await call).findDetails(FailureSchema)[0]?.reason).toBe("ATTEMPT_TIMEOUT");
  });

  it("ends an attempt that is silent for progress_timeout as STALLED; progress keeps it alive", async () => {
    const progress = [2000, 2500];
    const harness = await start({
      hurried: (_, context) => {
        let atMs = 0;
        for (const delayMs of progress) {
          atMs += delayMs;
          harness.clock.setTimeout(() => context.progress({ fraction: 0.1 }), atMs);
        }
        return new Promise(() => {});
      },
    });
    const runId = await startRun(harness, "Hurried");
    await harness.clock.advance(4500 + 2999);
    expect(await stateOf(harness, runId)).toBe(RunState.RUNNING);
    await harness.clock.advance(1);
    const { run } = await harness.runs.getRun({ runId });
    expect(run?.failure?.reason).toBe("STALLED");
  });
});

describe("gate", () => {
  it("lets as many work as the limit says, the others in order of arrival", async () => {
    const order: string[] = [];
    const gates = new Map<string, PromiseWithResolvers<void>>();
    const harness = await start({
      limited: async ({ text }) => {
        order.push(text);
        const gate = deferred();
        gates.set(text, gate);
        await gate.promise;
        return { text };
      },
    });
    const ids: string[] = [];
    for (const text of ["a", "b", "c"]) ids.push(await startRun(harness, "Limited", JSON.stringify({ text })));
    expect(order).toEqual(["a"]);
    const waiting = await harness.runs.getRun({ runId: ids[2] ?? "" });
    expect(waiting.run).toMatchObject({ state: RunState.QUEUED, wait: { gate: "workflow" } });
    expect(waiting.run?.wait?.reason).toContain("number 2 in line");
    for (const text of ["a", "b", "c"]) {
      gates.get(text)?.resolve();
      await harness.clock.advance(1);
    }
    expect(order).toEqual(["a", "b", "c"]);
    const { run } = await harness.runs.getRun({ runId: ids[2] ?? "" });
    expect(run?.state).toBe(RunState.SUCCEEDED);
    expect(run?.statistics?.queueTime?.nanos).toBeGreaterThan(0);
  });

  it("refuses a run beyond queue_limit at acceptance, and keeps nothing of it", async () => {
    const harness = await start({ limited: () => new Promise(() => {}) });
    for (let n = 0; n < 3; n++) await startRun(harness, "Limited");
    const refused = harness.runs.startRun({ workflow: `${WorkflowsService.typeName}/Limited` });
    const error = await rejection(refused, Code.ResourceExhausted);
    expect(error.rawMessage).toContain("queue_limit 2");
    expect((await harness.runs.listRuns({})).runs).toHaveLength(3);
  });

  it("keeps the permit until the back-end has really stopped", async () => {
    const stubborn = deferred();
    let working = 0;
    let most = 0;
    const harness = await start({
      limited: async () => {
        most = Math.max(most, ++working);
        await stubborn.promise;
        working -= 1;
        return {};
      },
    });
    const first = await startRun(harness, "Limited");
    const second = await startRun(harness, "Limited");
    await harness.runs.cancelRun({ runId: first, reason: "" });
    await harness.clock.advance(30_000);
    expect(await stateOf(harness, first)).toBe(RunState.CANCELLED);
    expect(await stateOf(harness, second)).toBe(RunState.QUEUED);
    stubborn.resolve();
    await harness.clock.advance(1);
    expect(await stateOf(harness, second)).toBe(RunState.SUCCEEDED);
    expect(most).toBe(1);
  });

  it("takes the permit of a back-end that never stops back at its run's deadline", async () => {
    let calls = 0;
    const harness = await start(
      { limited: () => (++calls === 1 ? new Promise(() => undefined) : {}) },
      { config: { workflows: { [`${WorkflowsService.typeName}/Limited`]: { timeout: { seconds: 3600n } } } } },
    );
    const first = await startRun(harness, "Limited");
    await harness.runs.cancelRun({ runId: first, reason: "" });
    await harness.clock.advance(3_000_000);
    expect(await stateOf(harness, first)).toBe(RunState.CANCELLED);
    const second = await startRun(harness, "Limited");
    expect(await stateOf(harness, second)).toBe(RunState.QUEUED);
    await harness.clock.advance(600_000);
    expect(await stateOf(harness, second)).toBe(RunState.SUCCEEDED);
  });

  it("holds the server's and the endpoints' limits over all workflows", async () => {
    for (const config of [
      { concurrencyLimit: 3 },
      { backends: [{ service: WorkflowsService.typeName, endpoints: [{ target: "in-process", slots: 3 }] }] },
    ]) {
      let working = 0;
      let most = 0;
      const work = async () => {
        most = Math.max(most, ++working);
        await new Promise<void>((resolve) => harness.clock.setTimeout(resolve, 100));
        working -= 1;
        return {};
      };
      const harness: Harness = await start(
        { plain: work, keyed: work },
        { config: { grpc: { disabled: true }, web: { disabled: true }, ...config } },
      );
      const calls = Array.from({ length: 20 }, (_, n) =>
        n % 2 === 0 ? harness.workflows.plain({}) : harness.workflows.keyed({}),
      );
      await harness.clock.advance(700);
      await Promise.all(calls);
      expect(most).toBe(3);
    }
  });

  it("lets a higher priority go first", async () => {
    const order: number[] = [];
    const first = deferred();
    const harness = await start({
      limited: async ({ text }) => {
        order.push(Number(text));
        if (text === "0") await first.promise;
        return {};
      },
    });
    for (const priority of [0, 1, 5]) {
      await harness.runs.startRun({
        workflow: `${WorkflowsService.typeName}/Limited`,
        input: { case: "json", value: JSON.stringify({ text: `${priority}` }) },
        priority,
      });
    }
    first.resolve();
    await harness.clock.advance(10);
    expect(order).toEqual([0, 5, 1]);
  });
});

describe("cancellation", () => {
  it("ends a run whose handler stops, acknowledged; the first commit wins", async () => {
    const harness = await start({
      plain: (_, context) =>
        new Promise((resolve) => context.signal.addEventListener("abort", () => resolve({ text: "result" }))),
    });
    const runId = await startRun(harness, "Plain");
    const { run } = await harness.runs.cancelRun({ runId, reason: "enough" });
    expect(run?.state).toBeGreaterThanOrEqual(RunState.CANCELLING);
    await harness.clock.advance(0);
    const events = await eventsOf(harness, runId);
    expect(events.at(-1)?.event).toMatchObject({ case: "cancelled", value: { acknowledged: true, reason: "enough" } });
    expect(kindsOf(events)).not.toContain("succeeded");
  });

  it("ends a run whose handler does not listen after cancel_grace, unacknowledged", async () => {
    const harness = await start({ hurried: () => new Promise(() => {}) });
    const runId = await startRun(harness, "Hurried");
    await harness.clock.advance(1000);
    await harness.runs.cancelRun({ runId });
    expect(await stateOf(harness, runId)).toBe(RunState.CANCELLING);
    await harness.clock.advance(4999);
    expect(await stateOf(harness, runId)).toBe(RunState.CANCELLING);
    await harness.clock.advance(1);
    const events = await eventsOf(harness, runId);
    expect(events.at(-1)?.event).toMatchObject({ case: "cancelled", value: { acknowledged: false } });
  });

  it("drops what a handler still tells when it stops", async () => {
    const told: string[] = [];
    const listened = (signal: AbortSignal) =>
      new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    const harness = await start(
      {
        hurried: async (_, context) => {
          await listened(context.signal);
          context.progress({ stage: "stopping" });
          told.push("stopping");
          return {};
        },
        async *streaming(_, context) {
          await listened(context.signal);
          yield { update: { case: "line", value: "the last one" } };
          told.push("never asked for");
        },
      },
      { log: { ...silentLogger, error: (_, message) => told.push(message) } },
    );
    for (const method of ["Hurried", "Streaming"]) {
      const runId = await startRun(harness, method);
      await harness.clock.advance(1);
      await harness.runs.cancelRun({ runId });
      await harness.clock.advance(0);
      expect(kindsOf(await eventsOf(harness, runId))).toEqual([
        "accepted",
        "attemptStarted",
        "cancelRequested",
        "attemptFailed",
        "cancelled",
      ]);
    }
    expect(told).toEqual(["stopping"]);
  });

  it("ends a run that waits at once", async () => {
    const harness = await start({
      flaky: () => {
        throw unavailable();
      },
      limited: () => new Promise(() => {}),
    });
    const backingOff = await startRun(harness, "Flaky");
    await startRun(harness, "Limited");
    const queued = await startRun(harness, "Limited");
    for (const runId of [backingOff, queued]) {
      const { run } = await harness.runs.cancelRun({ runId, reason: "enough" });
      expect(run?.state).toBe(RunState.CANCELLED);
    }
  });

  it("changes nothing when it comes twice or too late", async () => {
    const harness = await start();
    const runId = await startRun(harness, "Plain");
    const { run } = await harness.runs.cancelRun({ runId });
    expect(run?.state).toBe(RunState.SUCCEEDED);
    expect(kindsOf(await eventsOf(harness, runId))).toEqual(["accepted", "attemptStarted", "succeeded"]);
  });
});
