import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { call, step } from "../../src/index.ts";
import { PayloadDamagedError } from "../../src/runs/ports/payloads.ts";
import { PlainResponseSchema, WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { deferred, eventsOf, type Harness, kindsOf, rejection, startServer, stateOf, stopServer } from "./harness.ts";
import { recordingLogger } from "./listening-server.ts";

async function start(...args: Parameters<typeof startServer>): Promise<Harness> {
  const harness = await startServer(...args);
  onTestFinished(() => stopServer(harness));
  return harness;
}

/** The next server on what a closed one has left behind. */
async function restart(before: Harness, own: Parameters<typeof startServer>[0], drainTimeoutMs = 0): Promise<Harness> {
  await stopServer(before, drainTimeoutMs);
  return start(own, { storage: before.storage, clock: before.clock });
}

async function startRun({ runs, clock }: Harness, method: string, json = "{}"): Promise<string> {
  const { run } = await runs.startRun({
    workflow: `${WorkflowsService.typeName}/${method}`,
    input: { case: "json", value: json },
  });
  await clock.advance(0);
  return run?.runId ?? "";
}

const never = () => new Promise<never>(() => {});
const workflow = (method: string) => `${WorkflowsService.typeName}/${method}`;

describe("a step", () => {
  it("waits as long as a back-end asks for before it is tried again, and leaves longer waits to the run", async () => {
    const busy = (retryAfter: string) => new Response(null, { status: 429, headers: { "retry-after": retryAfter } });
    const tries: [number, number][] = [];
    const harness = await start({
      flaky: async (_, context) => {
        const { text } = await step(
          context,
          "page",
          PlainResponseSchema,
          ({ number }) => {
            tries.push([context.run.attempt, number]);
            if (context.run.attempt === 1) throw busy(number === 1 ? "7" : "90");
            return { text: "done" };
          },
          { retry: { maxAttempts: 5 } },
        );
        return { attempts: text.length };
      },
    });
    const runId = await startRun(harness, "Flaky");
    await harness.clock.advance(6999);
    expect(tries).toEqual([[1, 1]]);
    await harness.clock.advance(1);
    expect(tries).toEqual([
      [1, 1],
      [1, 2],
    ]);
    expect(await stateOf(harness, runId)).toBe(RunState.BACKING_OFF);
    await harness.clock.advance(89_999);
    expect(tries).toHaveLength(2);
    await harness.clock.advance(1);
    expect(tries.at(-1)).toEqual([2, 1]);
    expect(await stateOf(harness, runId)).toBe(RunState.SUCCEEDED);
  });

  it("is not tried again where that cannot help", async () => {
    let tries = 0;
    const harness = await start({
      plain: (_, context) =>
        step(
          context,
          "page",
          PlainResponseSchema,
          () => {
            tries += 1;
            throw new Response(null, { status: 404 });
          },
          { retry: { maxAttempts: 5 } },
        ),
    });
    await rejection(harness.workflows.plain({}), Code.NotFound);
    expect(tries).toBe(1);
  });

  it("is executed once, whatever becomes of its attempt", async () => {
    const executed: string[] = [];
    const harness = await start({
      flaky: async (_, context) => {
        for (const name of ["one", "two", "three"]) {
          await step(context, name, PlainResponseSchema, () => {
            executed.push(name);
            return { text: name };
          });
          if (name === "two" && context.run.attempt < 3) throw new ConnectError("away", Code.Unavailable);
        }
        return { attempts: context.run.attempt };
      },
    });
    const runId = await startRun(harness, "Flaky");
    await harness.clock.advance(10_000);
    expect(await stateOf(harness, runId)).toBe(RunState.SUCCEEDED);
    expect(executed).toEqual(["one", "two", "three"]);
    expect((await harness.runs.getRun({ runId })).run?.statistics).toMatchObject({ steps: 3, attempts: 3 });
  });

  it("starts only after all earlier events are durable", async () => {
    const harness = await start({
      plain: async (_, context) => {
        await step(context, "one", PlainResponseSchema, () => ({ text: "1" }));
        await step(context, "two", PlainResponseSchema, async () => {
          const records = await harness.storage.journal.read(`run/${context.run.runId}`, 0, 10);
          return { text: String(records.length) };
        });
        return {};
      },
    });
    const runId = await startRun(harness, "Plain");
    const { run } = await harness.runs.getRun({ runId });
    expect(run?.state).toBe(RunState.SUCCEEDED);
    const events = await eventsOf(harness, runId);
    expect(kindsOf(events)).toEqual(["accepted", "attemptStarted", "stepCompleted", "stepCompleted", "succeeded"]);
  });

  it("is executed anew when what it depends on has changed", async () => {
    const executed: string[] = [];
    const harness = await start({
      flaky: async (_, context) => {
        const { text } = await step(
          context,
          "one",
          PlainResponseSchema,
          () => {
            executed.push(`for ${context.run.attempt}`);
            return { text: `${context.run.attempt}` };
          },
          { input: context.run.attempt < 3 ? "small" : "large" },
        );
        if (context.run.attempt < 3) throw new ConnectError(text, Code.Unavailable);
        return {};
      },
    });
    await startRun(harness, "Flaky");
    await harness.clock.advance(10_000);
    expect(executed).toEqual(["for 1", "for 3"]);
  });

  it("refuses a name that comes twice, an empty one, and one that is too long", async () => {
    for (const [names, expected] of [
      [["a", "a"], /two steps named "a"/],
      [[""], /1 to 256 characters/],
      [["x".repeat(257)], /1 to 256 characters/],
    ] as const) {
      const harness = await start({
        plain: async (_, context) => {
          for (const name of names) await step(context, name, PlainResponseSchema, () => ({}));
          return {};
        },
      });
      expect((await rejection(harness.workflows.plain({}))).rawMessage).toMatch(expected);
    }
  });

  it("is tried again by its own retry, with its own time limit", async () => {
    const tries: number[] = [];
    const harness = await start({
      plain: async (_, context) => {
        await step(
          context,
          "slow",
          PlainResponseSchema,
          ({ number, signal }) => {
            tries.push(number);
            if (number < 3) {
              return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
            }
            return { text: "at last" };
          },
          { timeoutMs: 1000, retry: { maxAttempts: 3, initialBackoffMs: 500, backoffMultiplier: 1 } },
        );
        return {};
      },
    });
    const runId = await startRun(harness, "Plain");
    await harness.clock.advance(5000);
    expect(tries).toEqual([1, 2, 3]);
    const events = await eventsOf(harness, runId);
    expect(events[2]?.event).toMatchObject({ case: "stepCompleted", value: { name: "slow", tries: 3 } });
  });

  it("refuses a context that is not its handler's own", async () => {
    expect(() => step({} as never, "a", PlainResponseSchema, () => ({}))).toThrow(/context of a workflow's handler/);
  });

  it("refuses the words of an attempt that is over", async () => {
    const resumed = deferred<unknown>();
    const gate = deferred();
    const harness = await start({
      hurried: async (_, context) => {
        await gate.promise;
        await step(context, "late", PlainResponseSchema, () => ({})).catch(resumed.resolve);
        return {};
      },
    });
    await startRun(harness, "Hurried");
    await harness.clock.advance(4000);
    gate.resolve();
    await harness.clock.advance(0);
    expect(await resumed.promise).toBeInstanceOf(ConnectError);
  });
});

describe("a child", () => {
  it("works for its parent, which gives its permit back and whose clock stands still meanwhile", async () => {
    const harness = await start(
      {
        hurried: async (_, context) => {
          const child = await call(context, "child", WorkflowsService.method.limited, { text: "x" });
          return { text: child.text };
        },
        limited: async () => {
          await new Promise<void>((resolve) => harness.clock.setTimeout(resolve, 20_000));
          return { text: "from the child" };
        },
      },
      { config: { grpc: { disabled: true }, web: { disabled: true }, concurrencyLimit: 1 } },
    );
    const answer = harness.workflows.hurried({});
    await harness.clock.advance(20_001);
    expect((await answer).text).toBe("from the child");
    const { runs } = await harness.runs.listRuns({ workflow: workflow("Hurried") });
    expect(runs[0]?.statistics?.executionTime?.seconds).toBe(0n);
    const parentRunId = runs[0]?.runId ?? "";
    const children = await harness.runs.listRuns({ parentRunId });
    expect(children.runs).toMatchObject([{ childName: "child", parentRunId, state: RunState.SUCCEEDED }]);
    expect(kindsOf(await eventsOf(harness, parentRunId))).toEqual([
      "accepted",
      "attemptStarted",
      "childStarted",
      "childEnded",
      "succeeded",
    ]);
  });

  it("is found again by a retaken parent, and not started twice", async () => {
    let executed = 0;
    const harness = await start({
      flaky: async (_, context) => {
        const { text } = await call(context, "child", WorkflowsService.method.plain, { text: "x" });
        if (context.run.attempt === 1) throw new ConnectError("away", Code.Unavailable);
        return { attempts: Number(text) };
      },
      plain: () => ({ text: String(++executed) }),
    });
    const answer = harness.workflows.flaky({});
    await harness.clock.advance(5000);
    expect((await answer).attempts).toBe(1);
    expect(executed).toBe(1);
  });

  it("hands its failure to the parent, and ends with it", async () => {
    const harness = await start({
      plain: async (_, context) => ({
        text: (await call(context, "child", WorkflowsService.method.keyed, {})).text,
      }),
      keyed: () => {
        throw new ConnectError("child's trouble", Code.NotFound);
      },
      once: async (_, context) => {
        await call(context, "child", WorkflowsService.method.limited, {});
        return {};
      },
      limited: never,
    });
    expect((await rejection(harness.workflows.plain({}), Code.NotFound)).rawMessage).toBe("child's trouble");
    const parent = await startRun(harness, "Once");
    await harness.clock.advance(10);
    await harness.runs.cancelRun({ runId: parent });
    await harness.clock.advance(60_000);
    const { runs } = await harness.runs.listRuns({ parentRunId: parent });
    expect(runs.map(({ state }) => RunState[state])).toEqual(["CANCELLED"]);
  });

  it("is cancelled too when its parent has ended while it was being accepted", async () => {
    let executed = 0;
    const harness = await start({
      once: async (_, context) => {
        await call(context, "child", WorkflowsService.method.limited, {});
        return {};
      },
      limited: () => {
        executed += 1;
        return never();
      },
    });
    const { journal } = harness.storage;
    let parent = "";
    const [gate, read] = [deferred(), journal.read.bind(journal)];
    journal.read = async (stream, ...range) => {
      if (stream.startsWith("run/") && stream !== `run/${parent}`) await gate.promise;
      return read(stream, ...range);
    };
    parent = await startRun(harness, "Once");
    expect(executed).toBe(0);
    void harness.runs.cancelRun({ runId: parent });
    // Its attempt hears of that no sooner than its call goes on.
    await harness.clock.advance(60_000);
    expect(await stateOf(harness, parent)).toBe(RunState.CANCELLED);
    gate.resolve();
    await harness.clock.advance(10);
    const { runs } = await harness.runs.listRuns({ parentRunId: parent });
    expect(runs.map(({ state }) => RunState[state])).toEqual(["CANCELLED"]);
  });

  it("refuses a method that is no workflow of this server, and an input that breaks a rule", async () => {
    const harness = await start({
      plain: async (_, context) => {
        await call(context, "child", WorkflowsService.method.flaky, { failures: -1 });
        return {};
      },
    });
    await rejection(harness.workflows.plain({}), Code.InvalidArgument);
  });
});

describe("a checkpoint", () => {
  it("is what the next attempt sees of the one before", async () => {
    const seen: unknown[] = [];
    const harness = await start({
      flaky: async (_, context) => {
        seen.push(context.previous && new TextDecoder().decode(context.previous.handle));
        await context.checkpoint(`job-${context.run.attempt}`);
        if (context.run.attempt < 3) throw new ConnectError("away", Code.Unavailable);
        return {};
      },
    });
    await startRun(harness, "Flaky");
    await harness.clock.advance(10_000);
    expect(seen).toEqual([undefined, "job-1", "job-2"]);
  });

  it("has at most 4 KiB", async () => {
    const harness = await start({
      plain: async (_, context) => {
        await context.checkpoint(new Uint8Array(4097));
        return {};
      },
    });
    expect((await rejection(harness.workflows.plain({}), Code.InvalidArgument)).rawMessage).toContain("4097");
  });
});

describe("a restart", () => {
  it("retakes interrupted runs without spending an attempt, and keeps their steps", async () => {
    const executed: string[] = [];
    const handler = (stuck: boolean): Parameters<typeof startServer>[0] => ({
      plain: async (_, context) => {
        await step(context, "one", PlainResponseSchema, () => {
          executed.push("one");
          return { text: "1" };
        });
        if (stuck) await never();
        return { text: `attempt ${context.run.attempt}` };
      },
    });
    const before = await start(handler(true));
    const runId = await startRun(before, "Plain");
    const after = await restart(before, handler(false));
    await after.clock.advance(10);
    const { run } = await after.runs.getRun({ runId, view: 2 });
    expect(run).toMatchObject({ state: RunState.SUCCEEDED, statistics: { attempts: 2, retries: 0, interruptions: 1 } });
    expect(executed).toEqual(["one"]);
    const kinds = kindsOf(await eventsOf(after, runId));
    expect(kinds).toEqual([
      "accepted",
      "attemptStarted",
      "stepCompleted",
      "attemptFailed",
      "attemptStarted",
      "succeeded",
    ]);
  });

  it("keeps the wake-up time of a run that backs off", async () => {
    let calls = 0;
    const flaky = () => {
      calls += 1;
      if (calls === 1) throw new ConnectError("busy", Code.Unavailable, { "grpc-retry-pushback-ms": "60000" });
      return { attempts: calls };
    };
    const before = await start({ flaky });
    const runId = await startRun(before, "Flaky");
    await before.clock.advance(20_000);
    const after = await restart(before, { flaky });
    await after.clock.advance(39_900);
    expect(await stateOf(after, runId)).toBe(RunState.BACKING_OFF);
    await after.clock.advance(200);
    expect(await stateOf(after, runId)).toBe(RunState.SUCCEEDED);
  });

  it("cancels an attached run without a key, and answers its caller UNAVAILABLE", async () => {
    const before = await start({ plain: never });
    const call = rejection(before.workflows.plain({}), Code.Unavailable);
    await before.clock.advance(10);
    const after = await restart(before, {});
    await call;
    const { runs } = await after.runs.listRuns({});
    expect(runs[0]).toMatchObject({ state: RunState.CANCELLED, cancelReason: "DRAINED" });
  });

  it("gives the callers of a keyed run time to come back, and the run goes on", async () => {
    const gate = deferred();
    const plain = async () => {
      await gate.promise;
      return { text: "here" };
    };
    const headers = { "idempotency-key": "k" };
    const before = await start({ plain });
    const first = rejection(before.workflows.plain({}, { headers }), Code.Unavailable);
    await before.clock.advance(10);
    const after = await restart(before, { plain });
    await first;
    const second = after.workflows.plain({}, { headers });
    await after.clock.advance(10);
    gate.resolve();
    expect((await second).text).toBe("here");
    const { runs } = await after.runs.listRuns({});
    expect(runs).toHaveLength(1);
    expect(kindsOf(await eventsOf(after, runs[0]?.runId ?? ""))).toEqual([
      "accepted",
      "attemptStarted",
      "attemptFailed",
      "orphaned",
      "attemptStarted",
      "rejoined",
      "succeeded",
    ]);
  });

  it("tries an input again that cannot be read right now, and fails a run whose input is damaged", async () => {
    const before = await start({ plain: never });
    const [unreadable, damaged] = [await startRun(before, "Plain"), await startRun(before, "Plain", '{"text":"x"}')];
    await stopServer(before);
    const { payloads } = before.storage;
    const get = payloads.get.bind(payloads);
    let failures = 0;
    payloads.get = async (owner, sha256) => {
      if (owner === unreadable && failures++ === 0) throw new Error("EIO: i/o error, read");
      if (owner === damaged) throw new PayloadDamagedError(owner, sha256, "its file is gone");
      return get(owner, sha256);
    };
    const log = recordingLogger();
    const harness = await start({}, { storage: before.storage, clock: before.clock, log });
    await harness.clock.advance(999);
    expect([failures, await stateOf(harness, unreadable)]).toEqual([1, RunState.QUEUED]);
    await harness.clock.advance(1);
    expect(await stateOf(harness, unreadable)).toBe(RunState.SUCCEEDED);
    const { run } = await harness.runs.getRun({ runId: damaged });
    expect(run?.state).toBe(RunState.FAILED);
    // Callers learn a reference, and the log the rest.
    expect(log.entries).toContainEqual(
      expect.objectContaining({
        message: "a run's input cannot be given to its back-end",
        fields: {
          err: expect.any(PayloadDamagedError),
          run_id: damaged,
          trace_id: expect.any(String),
          span_id: expect.any(String),
          referenceId: run?.failure?.referenceId,
        },
      }),
    );
  });

  it("expires what ran out of time meanwhile", async () => {
    const before = await start({ hurried: never });
    const runId = await startRun(before, "Hurried");
    await stopServer(before);
    before.clock.jump(60_000);
    const after = await start({ hurried: never }, { storage: before.storage, clock: before.clock });
    expect(await stateOf(after, runId)).toBe(RunState.EXPIRED);
  });

  it("fails a run that must not happen twice", async () => {
    const before = await start({ once: never });
    const runId = await startRun(before, "Once");
    const after = await restart(before, {});
    expect((await after.runs.getRun({ runId })).run).toMatchObject({
      state: RunState.FAILED,
      failure: { reason: "INTERRUPTED", code: Code.Aborted, retryable: false },
    });
  });

  it("ends a run in a crash loop after max_interruptions", async () => {
    let harness = await start({ plain: never });
    const runId = await startRun(harness, "Plain");
    for (let n = 1; n < 5; n++) {
      harness = await restart(harness, { plain: never });
      await harness.clock.advance(10);
      expect(await stateOf(harness, runId)).toBe(RunState.RUNNING);
    }
    harness = await restart(harness, {});
    const { run } = await harness.runs.getRun({ runId });
    expect(run).toMatchObject({ state: RunState.FAILED, failure: { reason: "CRASH_LOOP" } });
    expect(run?.statistics?.interruptions).toBe(5);
  });

  it("lets attempts that end within the drain time end, and refuses new runs meanwhile", async () => {
    const harness = await start({
      plain: async () => {
        await new Promise<void>((resolve) => harness.clock.setTimeout(resolve, 500));
        return { text: "in time" };
      },
    });
    const call = harness.workflows.plain({});
    await harness.clock.advance(1);
    const closed = harness.server.close({ drainTimeoutMs: 10_000 });
    await harness.clock.advance(1);
    const refused = await rejection(harness.workflows.plain({}), Code.Unavailable);
    expect(refused.rawMessage).toContain("about to stop");
    await harness.clock.advance(500);
    expect((await call).text).toBe("in time");
    await closed;
  });
});

describe("RerunRun", () => {
  it("makes a new run that keeps the valid steps", async () => {
    const executed: string[] = [];
    let broken = true;
    const harness = await start({
      plain: async (_, context) => {
        const { text } = await step(context, "one", PlainResponseSchema, () => {
          executed.push("one");
          return { text: "kept" };
        });
        if (broken) throw new ConnectError("broken", Code.Internal);
        return { text };
      },
    });
    const runId = await startRun(harness, "Plain");
    broken = false;
    const { run } = await harness.runs.rerunRun({ runId });
    await harness.clock.advance(10);
    const again = await harness.runs.getRun({ runId: run?.runId ?? "", view: 2 });
    expect(again.run).toMatchObject({ state: RunState.SUCCEEDED, rerunOf: runId });
    expect(executed).toEqual(["one"]);
    const events = await eventsOf(harness, run?.runId ?? "");
    expect(events[2]?.event).toMatchObject({ case: "stepCompleted", value: { keptFrom: runId } });
    expect(await stateOf(harness, runId)).toBe(RunState.FAILED);

    const fresh = await harness.runs.rerunRun({ runId, discardSteps: true });
    await harness.clock.advance(10);
    expect(await stateOf(harness, fresh.run?.runId ?? "")).toBe(RunState.SUCCEEDED);
    expect(executed).toEqual(["one", "one"]);
  });

  it("refuses a run that is open", async () => {
    const harness = await start({ plain: never });
    const runId = await startRun(harness, "Plain");
    const error = await rejection(harness.runs.rerunRun({ runId }), Code.FailedPrecondition);
    expect(error.rawMessage).toContain("RUNNING");
  });
});

describe("a result", () => {
  it("is read back by whoever asks later, with the input", async () => {
    const harness = await start({ plain: ({ text }) => create(PlainResponseSchema, { text: `${text}!` }) });
    const runId = await startRun(harness, "Plain", '{"text":"hi"}');
    const { run } = await harness.runs.getRun({ runId, view: 2 });
    expect(run?.result).toMatchObject({ typeName: "retake.test.v1.PlainResponse" });
    expect(run?.result?.value?.typeUrl).toBe("type.googleapis.com/retake.test.v1.PlainResponse");
    expect(Buffer.from(run?.input?.value?.value ?? []).toString()).toContain("hi");
    const { run: basic } = await harness.runs.getRun({ runId });
    expect(basic?.result?.value).toBeUndefined();
  });
});
