import { Code } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { ErrorInfoSchema, QuotaFailureSchema } from "../../gen/google/rpc/error_details_pb.js";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { JournalUnavailableError } from "../../src/runs/ports/journal.ts";
import { createVirtualClock } from "../../src/testing/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { deferred, type Harness, rejection, startServer, stateOf, stopServer } from "./harness.ts";

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
