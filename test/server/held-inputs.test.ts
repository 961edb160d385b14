import { Code } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { ErrorInfoSchema, QuotaFailureSchema } from "../../gen/google/rpc/error_details_pb.js";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { JournalUnavailableError } from "../../src/runs/ports/journal.ts";
import { heldInputs } from "../../src/server/held-inputs.ts";
import { createVirtualClock } from "../../src/testing/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { until } from "../until.ts";
import { deferred, type Harness, rejection, startServer, stateOf, stopServer } from "./harness.ts";
import { recordingLogger } from "./listening-server.ts";

/** What a file system says of itself. */
const disk = vi.hoisted(() => ({ blocks: undefined as number | undefined }));
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  const statfs = async (path: string) =>
    disk.blocks === undefined ? await real.statfs(path) : { blocks: disk.blocks, bsize: 4_096 };
  return { ...real, statfs };
});

const plain = `${WorkflowsService.typeName}/Plain`;

async function startRun({ runs, clock }: Harness, text = "", idempotencyKey = ""): Promise<string> {
  const input = { case: "json" as const, value: JSON.stringify({ text }) };
  const { run } = await runs.startRun({ workflow: plain, input, idempotencyKey });
  await clock.advance(0);
  return run?.runId ?? "";
}

async function reasonOf(refused: Promise<unknown>): Promise<string | undefined> {
  return (await rejection(refused, Code.ResourceExhausted)).findDetails(ErrorInfoSchema)[0]?.reason;
}

describe("what an owner may leave to a server", () => {
  it("is so many runs, also after a restart, until some of them have ended", async () => {
    const clock = createVirtualClock();
    const storage = createMemoryStorage({ clock });
    const options = { clock, storage, config: { runs: { maxUnfinishedPerOwner: 3 } } };
    const before = await startServer({}, options);
    await before.runs.pauseWorkflow({ workflow: plain });
    const [first = ""] = [await startRun(before), await startRun(before, "", "key"), await startRun(before)];
    expect(await reasonOf(startRun(before))).toBe("INPUT_QUOTA");
    // What is known already is no more of it.
    await startRun(before, "", "key");
    await before.runs.cancelRun({ runId: first });
    await clock.advance(0);
    await startRun(before);
    expect(await reasonOf(before.runs.rerunRun({ runId: first }))).toBe("INPUT_QUOTA");
    await stopServer(before);
    // Ids of runs begin with the time.
    await clock.advance(1_000);

    const after = await startServer({}, options);
    onTestFinished(() => stopServer(after));
    const refused = await rejection(startRun(after), Code.ResourceExhausted);
    expect(refused.findDetails(QuotaFailureSchema)[0]?.violations).toMatchObject([
      {
        subject: expect.stringMatching(/^principal:.+\/in-process$/),
        description: "3 runs of one owner may be unfinished (runs.max_unfinished_per_owner), and 3 are",
      },
    ]);
    await after.runs.resumeWorkflow({ workflow: plain });
    await clock.advance(0);
    for (let at = 0; at < 10; at++) expect(await stateOf(after, await startRun(after))).toBe(RunState.SUCCEEDED);
  });

  it("is still what can be read at the start, when a run ends that could not", async () => {
    const clock = createVirtualClock();
    const killed = createMemoryStorage({ clock });
    const options = { clock, config: { runs: { maxUnfinishedPerOwner: 2 } } };
    // Never closed: it is killed.
    const before = await startServer({}, { ...options, storage: killed });
    await before.runs.pauseWorkflow({ workflow: plain });
    const unread = await startRun(before);
    await startRun(before);
    await clock.advance(1_000);

    const storage = killed.crash({ clock });
    const read = storage.journal.read.bind(storage.journal);
    const failure = vi
      .spyOn(storage.journal, "read")
      .mockImplementation((stream, ...range) =>
        stream.endsWith(unread) ? Promise.reject(new Error("a damaged page")) : read(stream, ...range),
      );
    const after = await startServer({}, { ...options, storage });
    onTestFinished(() => stopServer(after));
    failure.mockRestore();
    await startRun(after);
    expect(await reasonOf(startRun(after))).toBe("INPUT_QUOTA");
    await after.runs.cancelRun({ runId: unread });
    await clock.advance(0);
    expect(await stateOf(after, unread)).toBe(RunState.CANCELLED);
    expect(await reasonOf(startRun(after))).toBe("INPUT_QUOTA");
  });

  it("is so many bytes of their inputs", async () => {
    const harness = await startServer({}, { config: { runs: { maxUnfinishedBytesPerOwner: 5_000n } } });
    onTestFinished(() => stopServer(harness));
    await harness.runs.pauseWorkflow({ workflow: plain });
    const runId = await startRun(harness, "x".repeat(3_000));
    expect(await reasonOf(startRun(harness, "x".repeat(3_000)))).toBe("INPUT_QUOTA");
    await startRun(harness, "x".repeat(1_000));
    await harness.runs.cancelRun({ runId });
    await harness.clock.advance(0);
    await startRun(harness, "x".repeat(3_000));
  });

  it("takes calls that wait for their result nonetheless", async () => {
    const gate = deferred();
    const plain = async () => {
      await gate.promise;
      return {};
    };
    const harness = await startServer({ plain }, { config: { runs: { maxUnfinishedPerOwner: 1 } } });
    onTestFinished(() => stopServer(harness));
    await startRun(harness);
    expect(await reasonOf(startRun(harness))).toBe("INPUT_QUOTA");
    const calls = [harness.workflows.plain({}), harness.workflows.plain({})];
    gate.resolve();
    await Promise.all(calls);
    await harness.clock.advance(0);
    await startRun(harness);
  });

  it("has nothing of runs that did not become any, and still has those whose end was lost", async () => {
    const clock = createVirtualClock();
    const storage = createMemoryStorage({ clock });
    const { journal } = storage;
    const order = journal.order.bind(journal);
    let refusals = 0;
    journal.order = (appends, settled, options) => {
      if (appends[0]?.stream.startsWith("run/") && refusals > 0) {
        refusals -= 1;
        clock.setImmediate(() => settled(new JournalUnavailableError("the record is too large")));
      } else {
        order(appends, settled, options);
      }
    };
    const harness = await startServer({}, { clock, storage, config: { runs: { maxUnfinishedPerOwner: 1 } } });
    onTestFinished(() => stopServer(harness));
    for (let at = 0; at < 3; at++) {
      refusals = 1;
      const started = rejection(harness.runs.startRun({ workflow: plain }), Code.Unavailable);
      await clock.advance(0);
      await started;
    }
    await harness.runs.pauseWorkflow({ workflow: plain });
    const runId = await startRun(harness);
    refusals = 1;
    harness.runs.cancelRun({ runId }).catch(() => undefined);
    await clock.advance(0);
    expect(refusals).toBe(0);
    expect(await stateOf(harness, runId)).toBe(RunState.PARKED);
    expect(await reasonOf(startRun(harness))).toBe("INPUT_QUOTA");
    await clock.advance(60_000);
    await harness.runs.cancelRun({ runId });
    await clock.advance(60_000);
    expect(await stateOf(harness, runId)).toBe(RunState.CANCELLED);
    await startRun(harness);
    expect(await reasonOf(startRun(harness))).toBe("INPUT_QUOTA");
  });
});

describe("what an owner may leave where nothing is configured", () => {
  const of = (dataDirectory: string) => {
    const log = recordingLogger();
    const inputs = heldInputs({ runs: { maxUnfinishedPerOwner: 1 }, dataDirectory }, false, log);
    return { log, refusal: (bytes: number) => inputs.refusal({ tenant: "t", subject: "alice" }, bytes) };
  };

  it("is a tenth of the disk, and without a word", async () => {
    disk.blocks = 100;
    onTestFinished(() => {
      disk.blocks = undefined;
    });
    const { log, refusal } = of(import.meta.dirname);
    await until(() => refusal(40_961));
    expect([refusal(40_960), log.entries]).toEqual([undefined, []]);
  });

  it.each([
    ["is not there", `${import.meta.dirname}/none`, undefined],
    ["says that it has no blocks", import.meta.dirname, 0],
  ])("is not limited in bytes on a disk that %s, and the log says what to set", async (_, directory, blocks) => {
    disk.blocks = blocks;
    onTestFinished(() => {
      disk.blocks = undefined;
    });
    const { log, refusal } = of(directory);
    await until(() => log.entries.length > 0);
    expect(log.entries[0]).toMatchObject({
      level: "warn",
      fields: { path: directory, err: expect.any(Error) },
      message: expect.stringContaining("not limited until runs.max_unfinished_bytes_per_owner is set"),
    });
    expect(refusal(1e15)).toBeUndefined();
  });
});
