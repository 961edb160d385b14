import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { type Run, RunState } from "../../gen/retake/v1/run_pb.js";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { createVirtualClock } from "../../src/testing/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { deferred, eventsOf, type Harness, kindsOf, rejection, startServer, stateOf, stopServer } from "./harness.ts";

const name = (method: string) => `${WorkflowsService.typeName}/${method}`;
const plain = name("Plain");

async function start(...args: Parameters<typeof startServer>): Promise<Harness> {
  const harness = await startServer(...args);
  onTestFinished(() => stopServer(harness));
  return harness;
}

async function startRun({ runs, clock }: Harness, workflow = plain, json = "{}"): Promise<string> {
  const { run } = await runs.startRun({ workflow, input: { case: "json", value: json } });
  await clock.advance(0);
  return run?.runId ?? "";
}

async function show({ runs }: Harness, runId: string): Promise<Run | undefined> {
  return (await runs.getRun({ runId, view: 2 })).run;
}

const recorded = async ({ storage }: Harness, stream: string) => (await storage.journal.read(stream, 0, 100)).length;

describe("a paused workflow", () => {
  it("takes no more runs than may wait, also after a restart, and others once it is resumed", async () => {
    const clock = createVirtualClock();
    const storage = createMemoryStorage({ clock });
    const options = { clock, storage, config: { workflows: { [plain]: { concurrency: { queueLimit: 2 } } } } };
    const before = await startServer({}, options);
    await before.runs.pauseWorkflow({ workflow: plain });
    const atOnce = await Promise.allSettled(Array.from({ length: 5 }, () => startRun(before)));
    expect(atOnce.map(({ status }) => status).sort()).toEqual([
      ...["fulfilled", "fulfilled"],
      ...["rejected", "rejected", "rejected"],
    ]);
    await stopServer(before);
    const harness = await start({}, options);
    const refused = await rejection(startRun(harness), Code.ResourceExhausted);
    expect(refused.findDetails(ErrorInfoSchema)[0]?.reason).toBe("QUEUE_FULL");
    const { runs } = await harness.runs.listRuns({ workflow: plain, states: [RunState.PARKED] });
    await harness.runs.cancelRun({ runId: runs[0]?.runId ?? "" });
    await startRun(harness);
    await rejection(startRun(harness), Code.ResourceExhausted);
    await harness.runs.resumeWorkflow({ workflow: plain });
    await clock.advance(0);
    await harness.runs.pauseWorkflow({ workflow: plain });
    await startRun(harness);
    await startRun(harness);
    await rejection(startRun(harness), Code.ResourceExhausted);
  });

  it("takes runs and parks them, saying why, until it is resumed; then they go in the order in which they came", async () => {
    const texts: string[] = [];
    const harness = await start({
      plain: ({ text }) => {
        texts.push(text);
        return { text };
      },
    });
    const { runs, clock } = harness;
    const { pause } = await runs.pauseWorkflow({ workflow: plain, reason: "new cards" });
    expect(pause).toMatchObject({ workflow: plain, pausedBy: "in-process", reason: "new cards" });
    const runIds: string[] = [];
    for (const text of ["a", "b", "c"]) {
      runIds.push(await startRun(harness, plain, JSON.stringify({ text })));
      await clock.advance(1000);
    }
    const run = await show(harness, runIds[0] ?? "");
    expect(run?.state).toBe(RunState.PARKED);
    expect(run?.wait).toMatchObject({ gate: "pause", reason: `${plain} is paused by in-process: new cards` });
    expect(run?.wait?.since).toEqual(run?.createTime);
    expect(texts).toEqual([]);
    expect(await runs.resumeWorkflow({ workflow: plain })).toMatchObject({ resumed: true });
    await clock.advance(0);
    expect(texts).toEqual(["a", "b", "c"]);
    expect(kindsOf(await eventsOf(harness, runIds[0] ?? ""))).toEqual([
      "accepted",
      "parked",
      "woken",
      "attemptStarted",
      "succeeded",
    ]);
  });

  it("lets attempts go on, and parks what comes to its next one", async () => {
    const gates = [deferred(), deferred()];
    const harness = await start({
      flaky: async (_, context) => {
        await gates[context.run.attempt - 1]?.promise;
        if (context.run.attempt === 1) throw new ConnectError("away", Code.Unavailable);
        return {};
      },
    });
    const { runs, clock } = harness;
    const workflow = name("Flaky");
    const runId = await startRun(harness, workflow);
    await runs.pauseWorkflow({ workflow });
    expect(await stateOf(harness, runId)).toBe(RunState.RUNNING);
    gates[0]?.resolve();
    await clock.advance(0);
    expect(await stateOf(harness, runId)).toBe(RunState.BACKING_OFF);
    await clock.advance(2000);
    expect(await stateOf(harness, runId)).toBe(RunState.PARKED);
    await runs.resumeWorkflow({ workflow });
    await clock.advance(0);
    expect(await stateOf(harness, runId)).toBe(RunState.RUNNING);
    await runs.pauseWorkflow({ workflow });
    gates[1]?.resolve();
    await clock.advance(0);
    expect(await stateOf(harness, runId)).toBe(RunState.SUCCEEDED);
  });

  it("parks runs that stand in line when their turn comes, and leaves other workflows alone", async () => {
    const gate = deferred();
    const harness = await start(
      {
        limited: async ({ text }) => {
          await gate.promise;
          return { text };
        },
      },
      { config: { concurrencyLimit: 1 } },
    );
    const { runs, clock } = harness;
    const workflow = name("Limited");
    const [first, second] = [await startRun(harness, workflow), await startRun(harness, workflow)];
    await runs.pauseWorkflow({ workflow });
    expect((await show(harness, second))?.wait).toMatchObject({ gate: "pause", position: 0 });
    gate.resolve();
    await clock.advance(0);
    expect(await stateOf(harness, first)).toBe(RunState.SUCCEEDED);
    expect(await stateOf(harness, second)).toBe(RunState.PARKED);
    expect(await stateOf(harness, await startRun(harness))).toBe(RunState.SUCCEEDED);
    await runs.resumeWorkflow({ workflow });
    await clock.advance(0);
    expect(await stateOf(harness, second)).toBe(RunState.SUCCEEDED);
  });

  it("stays paused over restarts, without another event of the runs that it holds, until it is resumed", async () => {
    const first = await start();
    await first.runs.pauseWorkflow({ workflow: plain, reason: "night" });
    const runId = await startRun(first);
    const before = await recorded(first, `run/${runId}`);
    await stopServer(first);
    const { storage, clock } = first;
    const second = await start({}, { storage, clock });
    await clock.advance(10_000);
    expect(await stateOf(second, runId)).toBe(RunState.PARKED);
    expect(await recorded(second, `run/${runId}`)).toBe(before);
    const { workflows } = await second.runs.listWorkflows({});
    expect(workflows.filter(({ pause }) => pause !== undefined)).toMatchObject([
      { workflow: plain, pause: { reason: "night" } },
    ]);
    await second.runs.resumeWorkflow({ workflow: plain });
    await clock.advance(0);
    expect(await stateOf(second, runId)).toBe(RunState.SUCCEEDED);
    await stopServer(second);
    const third = await start({}, { storage, clock });
    expect(await stateOf(third, await startRun(third))).toBe(RunState.SUCCEEDED);
    await third.runs.pauseWorkflow({ workflow: plain });
    expect(await stateOf(third, await startRun(third))).toBe(RunState.PARKED);
  });

  it("lets runs that it holds be cancelled, and expire", async () => {
    const harness = await start();
    const { runs, clock } = harness;
    for (const workflow of [plain, name("Hurried")]) await runs.pauseWorkflow({ workflow });
    const [cancelled, expired] = [await startRun(harness), await startRun(harness, name("Hurried"))];
    await runs.cancelRun({ runId: cancelled });
    expect(await stateOf(harness, cancelled)).toBe(RunState.CANCELLED);
    await clock.advance(30_000);
    expect(await stateOf(harness, expired)).toBe(RunState.EXPIRED);
    for (const workflow of [plain, name("Hurried")]) await runs.resumeWorkflow({ workflow });
    await clock.advance(0);
    expect(await stateOf(harness, cancelled)).toBe(RunState.CANCELLED);
  });

  it("is left by a run that was about to be parked when it was resumed", async () => {
    const clock = createVirtualClock();
    const storage = createMemoryStorage({ clock });
    const harness = await start({}, { clock, storage });
    await harness.runs.pauseWorkflow({ workflow: plain });
    const { journal, payloads } = storage;
    const held = deferred();
    const [append, listRuns, put] = [journal.append.bind(journal), journal.listRuns.bind(journal), payloads.put];
    journal.append = async (appends, options) => {
      await append(appends, options);
      if (appends[0]?.stream.startsWith("pause/")) await held.promise;
    };
    // Who lists the parked runs comes too early to find it.
    journal.flush = () => Promise.resolve();
    journal.listRuns = (filter, page) =>
      filter.states?.[0] === RunState.PARKED ? Promise.resolve([]) : listRuns(filter, page);
    payloads.put = (...args) => {
      // In the same breath the run looks whether its workflow is paused.
      held.resolve();
      return put.apply(payloads, args);
    };
    const resumed = harness.runs.resumeWorkflow({ workflow: plain });
    await clock.advance(0);
    const runId = await startRun(harness);
    await resumed;
    await clock.advance(0);
    expect(kindsOf(await eventsOf(harness, runId, 2))[1]).toBe("parked");
    expect(await stateOf(harness, runId)).toBe(RunState.SUCCEEDED);
  });

  it("wakes every run, however pausing, resuming and starting come together", async () => {
    const harness = await start();
    const { runs, clock } = harness;
    const started: Promise<unknown>[] = [];
    const changes: Promise<unknown>[] = [];
    for (let round = 0; round < 20; round++) {
      changes.push(runs.pauseWorkflow({ workflow: plain }));
      started.push(runs.startRun({ workflow: plain }));
      await clock.advance(0);
      started.push(runs.startRun({ workflow: plain }));
      changes.push(runs.resumeWorkflow({ workflow: plain }));
      started.push(runs.startRun({ workflow: plain }));
    }
    await clock.advance(0);
    await Promise.all([...started, ...changes]);
    await clock.advance(0);
    const { runs: found } = await runs.listRuns({ pageSize: 100 });
    expect(found).toHaveLength(60);
    expect(new Set(found.map(({ state }) => RunState[state]))).toEqual(new Set(["SUCCEEDED"]));
  });
});

describe("PauseWorkflow and ResumeWorkflow", () => {
  it("change nothing when they are asked again", async () => {
    const { runs, storage } = await start();
    const first = await runs.pauseWorkflow({ workflow: plain, reason: "one" });
    expect((await runs.pauseWorkflow({ workflow: plain, reason: "two" })).pause).toEqual(first.pause);
    expect((await runs.resumeWorkflow({ workflow: plain })).resumed).toBe(true);
    expect((await runs.resumeWorkflow({ workflow: plain })).resumed).toBe(false);
    expect(await storage.journal.read(`pause/${plain}`, 0, 10)).toHaveLength(2);
  });

  it("name the workflow that there is not", async () => {
    const { runs } = await start();
    for (const call of [runs.pauseWorkflow, runs.resumeWorkflow]) {
      expect((await rejection(call({ workflow: name("Plian") }), Code.NotFound)).rawMessage).toContain(plain);
    }
  });
});
