import { EventEmitter, once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { createMemoryStorage, type MemoryStorage } from "../../src/runs/memory/index.ts";
import { createVirtualClock, type VirtualClock } from "../../src/testing/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { deferred, eventsOf, type Harness, kindsOf, rejection, startServer, stateOf, stopServer } from "./harness.ts";
import { type LogEntry, recordingLogger } from "./listening-server.ts";

type Handlers = Parameters<typeof startServer>[0];

let dataDirectory: string;
beforeAll(async () => {
  dataDirectory = await mkdtemp(join(tmpdir(), "retake-uncaught-"));
  return () => rm(dataDirectory, { recursive: true, force: true });
});
const notePath = () => join(dataDirectory, "crash.json");

const workflow = (name: string) => `${WorkflowsService.typeName}/${name}`;

/** A process that only tells what it is asked for: errors are emitted where they would come up. */
class FakeProcess extends EventEmitter {
  readonly exits: number[] = [];
  exit(code: number): void {
    this.exits.push(code);
  }
}

interface Life extends Harness {
  readonly process: FakeProcess;
  readonly log: readonly LogEntry[];
  /** The process is gone, and with it what was not durable. */
  crash(): { clock: VirtualClock; storage: MemoryStorage };
  /** After that, another server goes on. */
  next(own: (process: FakeProcess) => Handlers): Promise<Life>;
}

async function live(
  own: (process: FakeProcess) => Handlers,
  clock: VirtualClock = createVirtualClock(),
  storage = createMemoryStorage({ clock }),
): Promise<Life> {
  const process = new FakeProcess();
  const log = recordingLogger();
  const [flaky = "", plain = "", limited = ""] = ["Flaky", "Plain", "Limited"].map(workflow);
  const config = {
    dataDirectory,
    workflows: {
      [flaky]: {
        retry: { maxAttempts: 2, retryableStatusCodes: ["INTERNAL"] },
        ...{ maxInterruptions: 1, concurrency: { limit: 1 } },
      },
      [plain]: { maxInterruptions: 1 },
      [limited]: { fallbacks: [plain] },
    },
  };
  let killed = false;
  const harness = await startServer(own(process), { clock, storage, process, log, config });
  const life: Life = {
    ...harness,
    ...{ process, log: log.entries },
    crash: () => {
      // Never closed: it is killed, and its time stands still.
      killed = true;
      const later = createVirtualClock({ startMs: clock.now() + 1_000 });
      return { clock: later, storage: storage.crash({ clock: later }) };
    },
    next: async (ownOfNext) => {
      const later = life.crash();
      return await live(ownOfNext, later.clock, later.storage);
    },
  };
  onTestFinished(() => (killed ? undefined : stopServer(life)));
  return life;
}

async function startRun({ runs, clock }: Harness, method: string): Promise<string> {
  const { run } = await runs.startRun({ workflow: workflow(method) });
  await clock.advance(0);
  return run?.runId ?? "";
}

const runOf = async ({ runs }: Harness, runId: string) => (await runs.getRun({ runId })).run;
const never = () => new Promise<never>(() => {});
const leavesLate = async (
  process: FakeProcess,
  kind: "unhandledRejection" | "uncaughtException",
  late: { promise: Promise<void> },
) => {
  await late.promise;
  process.emit(kind, new Error("late"));
};
/** The answer of a handler that leaves this behind. */
const done = (_left: Promise<void>) => ({ text: "done" });
/** A handler that heeds its signal. */
const toldToStop = async (signal: AbortSignal) => {
  if (!signal.aborted) await once(signal, "abort");
  throw signal.reason;
};
/** Comes up behind an await, as those of real handlers do. */
const leave = async (process: FakeProcess, kind: "unhandledRejection" | "uncaughtException", message = "left") => {
  await Promise.resolve();
  process.emit(kind, new Error(message));
};

describe("a rejection that nobody awaits", () => {
  it("fails the attempt whose it is, by the retry policy, and nothing else", async () => {
    const signals: AbortSignal[] = [];
    const life = await live((process) => ({
      plain: never,
      flaky: async (_, { run, signal }) => {
        signals.push(signal);
        await leave(process, "unhandledRejection", `of attempt ${run.attempt}`);
        return await toldToStop(signal);
      },
    }));
    const innocent = await startRun(life, "Plain");
    const culprit = await startRun(life, "Flaky");
    expect(await stateOf(life, culprit)).toBe(RunState.BACKING_OFF);
    await life.clock.advance(10_000);
    const run = await runOf(life, culprit);
    expect(run).toMatchObject({
      state: RunState.FAILED,
      failure: { code: Code.Internal, reason: "UNCAUGHT_ERROR" },
      statistics: { attempts: 2, retries: 1, interruptions: 0 },
    });
    expect(run?.failure?.message).not.toContain("of attempt");
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
    expect(await stateOf(life, innocent)).toBe(RunState.RUNNING);
    expect(life.process.exits).toEqual([]);
    const told = life.log.filter(({ level }) => level === "error");
    expect(told.map(({ fields }) => [fields["run_id"], fields["attempt"], (fields["err"] as Error).message])).toEqual([
      [culprit, 1, "of attempt 1"],
      [culprit, 2, "of attempt 2"],
    ]);
    expect(told[1]?.fields["referenceId"]).toBe(run?.failure?.referenceId);
  });

  it("has no other attempt work beside the handler until that has stopped, or the grace is over", async () => {
    const stops = [deferred(), deferred()];
    const working: string[] = [];
    const life = await live((process) => ({
      flaky: async (_, { run }) => {
        working.push(run.runId);
        await leave(process, "unhandledRejection");
        await (stops.shift()?.promise ?? never());
        working.splice(working.indexOf(run.runId), 1);
        return {};
      },
    }));
    const stop = stops[0];
    const first = await startRun(life, "Flaky");
    const second = await startRun(life, "Flaky");
    await life.clock.advance(29_999);
    expect(working).toEqual([first]);
    expect(await stateOf(life, first)).toBe(RunState.RUNNING);
    stop?.resolve();
    await life.clock.advance(0);
    expect(working).toEqual([second]);
    expect(await stateOf(life, first)).toBe(RunState.BACKING_OFF);
    await life.clock.advance(29_999);
    expect(working).toEqual([second]);
    await life.clock.advance(1);
    expect(working).toEqual([second, first]);
    expect(await runOf(life, second)).toMatchObject({
      state: RunState.BACKING_OFF,
      failure: { reason: "UNCAUGHT_ERROR" },
    });
  });

  it("is found behind what a streaming handler awaits, and told to its caller", async () => {
    const life = await live((process) => ({
      async *streaming(_, { signal }) {
        yield { update: { case: "progress" as const, value: { fraction: 0.5 } } };
        await leave(process, "unhandledRejection");
        await toldToStop(signal);
        yield { update: { case: "result" as const, value: "never" } };
      },
    }));
    const call = (async () => {
      for await (const _ of life.workflows.streaming({}));
    })();
    const error = rejection(call, Code.Internal);
    await life.clock.advance(0);
    expect((await error).message).toContain("left an error to nobody");
    expect(life.process.exits).toEqual([]);
  });

  it("does nothing to a run that has ended by then", async () => {
    const late = deferred();
    const life = await live((process) => ({ plain: () => done(leavesLate(process, "unhandledRejection", late)) }));
    const runId = await startRun(life, "Plain");
    late.resolve();
    await life.clock.advance(0);
    expect(await stateOf(life, runId)).toBe(RunState.SUCCEEDED);
    expect(life.process.exits).toEqual([]);
    expect(life.log.find(({ level }) => level === "error")).toMatchObject({
      fields: { run_id: runId, attempt: 1 },
      message: "the handler of an attempt that is over left a promise to reject that nobody awaits",
    });
  });

  it("does nothing to an attempt that has been told to stop, and says whether its run still waits for it", async () => {
    const lates = [deferred(), deferred()];
    const life = await live((process) => ({
      plain: () => {
        for (const late of lates) void leavesLate(process, "unhandledRejection", late);
        return never();
      },
    }));
    const runId = await startRun(life, "Plain");
    await life.runs.cancelRun({ runId });
    lates[0]?.resolve();
    await life.clock.advance(0);
    expect(await stateOf(life, runId)).toBe(RunState.CANCELLING);
    await life.clock.advance(30_000);
    expect(await stateOf(life, runId)).toBe(RunState.CANCELLED);
    lates[1]?.resolve();
    await life.clock.advance(0);
    expect(life.log.filter(({ level }) => level === "error").map(({ message }) => message)).toEqual([
      "the handler of an attempt that has been told to stop left a promise to reject that nobody awaits",
      "the handler of an attempt that is over left a promise to reject that nobody awaits",
    ]);
    expect(life.process.exits).toEqual([]);
  });

  it("ends the process when it is nobody's, and leaves no note", async () => {
    const life = await live(() => ({}));
    life.process.emit("unhandledRejection", new Error("of nobody"));
    expect(life.process.exits).toEqual([1]);
    expect(life.log.at(-1)).toMatchObject({ level: "error", fields: { err: { message: "of nobody" } } });
    expect(existsSync(notePath())).toBe(false);
  });

  it("leaves no timer behind a server that is closed while its handler has not stopped", async () => {
    const life = await live((process) => ({
      flaky: async () => {
        await leave(process, "unhandledRejection");
        return await never();
      },
    }));
    await startRun(life, "Flaky");
    await life.clock.advance(1_000);
    await stopServer(life);
    expect(life.clock.pendingTimers).toBe(0);
  });

  it("is left to others once the server has been closed", async () => {
    const life = await live(() => ({}));
    await stopServer(life);
    expect(life.process.eventNames()).toEqual([]);
  });
});

describe("an exception that nothing catches", () => {
  const crashing = () =>
    live((process) => ({
      plain: never,
      flaky: async () => {
        await leave(process, "uncaughtException");
        return await never();
      },
    }));

  it("ends the process; the next one fails the attempt, and spares the other runs", async () => {
    let life = await crashing();
    const innocent = await startRun(life, "Plain");
    const culprit = await startRun(life, "Flaky");
    expect(life.process.exits).toEqual([1]);
    expect(life.log.at(-1)).toMatchObject({
      fields: { run_id: culprit, attempt: 1, err: { message: "left" } },
      message: "an error of a handler was caught by nobody; the server stops, and its next start fails the attempt",
    });

    life = await life.next(() => ({ plain: never, flaky: never }));
    expect(existsSync(notePath())).toBe(false);
    expect(kindsOf(await eventsOf(life, culprit, 4)).slice(2)).toEqual(["attemptFailed", "retryScheduled"]);
    expect(await runOf(life, culprit)).toMatchObject({
      state: RunState.BACKING_OFF,
      statistics: { interruptions: 0 },
      failure: { reason: "UNCAUGHT_ERROR" },
    });
    expect(await runOf(life, innocent)).toMatchObject({
      state: RunState.RUNNING,
      statistics: { attempts: 2, interruptions: 1 },
    });
    await life.clock.advance(10_000);
    expect(await runOf(life, culprit)).toMatchObject({ state: RunState.RUNNING, statistics: { attempts: 2 } });

    // Of this crash nobody knows the cause.
    life = await life.next(() => ({}));
    for (const runId of [innocent, culprit]) {
      expect(await runOf(life, runId)).toMatchObject({ state: RunState.FAILED, failure: { reason: "CRASH_LOOP" } });
    }
  });

  it.each<[string, RunState, () => Promise<{ text: string }>]>([
    ["has ended", RunState.SUCCEEDED, async () => ({ text: "done" })],
    ["goes on without it", RunState.CANCELLED, never],
  ])("ends the process, and promises nothing of the next start, when its run %s", async (_, state, answer) => {
    const late = deferred();
    const life = await live((process) => ({
      plain: () => {
        void leavesLate(process, "uncaughtException", late);
        return answer();
      },
    }));
    const runId = await startRun(life, "Plain");
    await life.runs.cancelRun({ runId });
    await life.clock.advance(30_000);
    expect(await stateOf(life, runId)).toBe(state);
    late.resolve();
    await life.clock.advance(0);
    expect(life.process.exits).toEqual([1]);
    expect(life.log.at(-1)?.message).toBe("an error of a handler was caught by nobody; the server stops");
  });

  it("of an attempt that is over is no other run's to the run itself", async () => {
    let life = await crashing();
    const innocent = await startRun(life, "Plain");
    const culprit = await startRun(life, "Flaky");
    const note = JSON.parse(await readFile(notePath(), "utf8")) as object;
    await writeFile(notePath(), JSON.stringify({ ...note, token: "of an attempt before" }));
    life = await life.next(() => ({ plain: never, flaky: never }));
    expect(await runOf(life, innocent)).toMatchObject({ state: RunState.RUNNING });
    expect(await runOf(life, culprit)).toMatchObject({ failure: { reason: "CRASH_LOOP" } });
  });

  it("fails the run for good when no attempt is left", async () => {
    let life = await crashing();
    const culprit = await startRun(life, "Flaky");
    life = await life.next((process) => ({
      flaky: async () => {
        await leave(process, "uncaughtException");
        return await never();
      },
    }));
    await life.clock.advance(10_000);
    expect(life.process.exits).toEqual([1]);
    life = await life.next(() => ({}));
    expect(await runOf(life, culprit)).toMatchObject({
      state: RunState.FAILED,
      failure: { reason: "UNCAUGHT_ERROR" },
      statistics: { attempts: 2, interruptions: 0 },
    });
  });

  it("is followed by the fallback, as any failure is", async () => {
    let life = await live((process) => ({
      limited: async () => {
        await leave(process, "uncaughtException");
        return await never();
      },
    }));
    const culprit = await startRun(life, "Limited");
    life = await life.next(() => ({}));
    await life.clock.advance(0);
    expect(kindsOf(await eventsOf(life, culprit))).toEqual([
      ...["accepted", "attemptStarted", "attemptFailed", "fallbackStarted", "succeeded"],
    ]);
  });

  it("is an interruption where the input, which the fallback would be asked with, cannot be read at that moment", async () => {
    let life = await live((process) => ({
      limited: async () => {
        await leave(process, "uncaughtException");
        return await never();
      },
    }));
    const culprit = await startRun(life, "Limited");
    const { clock, storage } = life.crash();
    const get = vi.spyOn(storage.payloads, "get").mockRejectedValueOnce(new Error("the disk does not answer"));
    life = await live(
      () => ({
        limited: () => {
          throw new ConnectError("no", Code.FailedPrecondition);
        },
      }),
      clock,
      storage,
    );
    await clock.advance(0);
    expect(get).toHaveBeenCalled();
    expect(kindsOf(await eventsOf(life, culprit))).toEqual([
      ...["accepted", "attemptStarted", "attemptFailed"],
      ...["attemptStarted", "attemptFailed", "fallbackStarted", "succeeded"],
    ]);
    expect(await runOf(life, culprit)).toMatchObject({ statistics: { interruptions: 1 } });
  });

  it.each([
    ["damaged", async () => '{"runId":'],
    ["of something else", async () => "null"],
    [
      "of a crash before",
      async () =>
        JSON.stringify({ ...(JSON.parse(await readFile(notePath(), "utf8")) as object), token: "x", atMs: 1 }),
    ],
  ])("is as if unknown when the note is %s", async (_, noted) => {
    let life = await crashing();
    const innocent = await startRun(life, "Plain");
    const culprit = await startRun(life, "Flaky");
    await writeFile(notePath(), await noted());
    life = await life.next(() => ({ plain: never, flaky: never }));
    for (const runId of [innocent, culprit]) {
      expect(await runOf(life, runId)).toMatchObject({ state: RunState.FAILED, failure: { reason: "CRASH_LOOP" } });
    }
    expect(life.log.some(({ level }) => level === "warn")).toBe(true);
    expect(existsSync(notePath())).toBe(false);
  });

  it("ends the process when it is nobody's, too", async () => {
    const life = await live(() => ({}));
    life.process.emit("uncaughtException", new Error("of nobody"));
    expect(life.process.exits).toEqual([1]);
    expect(existsSync(notePath())).toBe(false);
  });
});
