import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { call } from "../../src/index.ts";
import { timestampFromMs } from "../../src/runs/time.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { type Harness, rejection, startServer, stateOf, stopServer } from "./harness.ts";

const name = (method: string) => `${WorkflowsService.typeName}/${method}`;
const plain = name("Plain");
const never = () => new Promise<never>(() => {});

async function start(...args: Parameters<typeof startServer>): Promise<Harness> {
  const harness = await startServer(...args);
  onTestFinished(() => stopServer(harness));
  return harness;
}

async function startRuns({ runs, clock }: Harness, count: number, workflow = plain, json = "{}"): Promise<string[]> {
  const runIds: string[] = [];
  for (let index = 0; index < count; index++) {
    const { run } = await runs.startRun({ workflow, input: { case: "json", value: json } });
    runIds.push(run?.runId ?? "");
    await clock.advance(1);
  }
  return runIds;
}

/** All pages of a method. */
async function pages<T extends { nextPageToken: string }>(page: (pageToken: string) => Promise<T>): Promise<T[]> {
  const all: T[] = [];
  for (let token = ""; ; ) {
    const next = await page(token);
    all.push(next);
    token = next.nextPageToken;
    if (token === "") return all;
  }
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0);
const ids = (runs: readonly { readonly runId: string }[]) => runs.map(({ runId }) => runId);

describe("CancelRuns", () => {
  it("only tells what it would do, unless it is forced", async () => {
    const harness = await start({ plain: never });
    const runIds = await startRuns(harness, 12);
    const answer = await harness.runs.cancelRuns({ filter: { workflow: plain } });
    expect(answer).toMatchObject({ matched: 12, cancelled: 0, nextPageToken: "" });
    expect(ids(answer.sample)).toEqual(runIds.toReversed().slice(0, 10));
    for (const runId of runIds) expect(await stateOf(harness, runId)).toBe(RunState.RUNNING);
  });

  it("cancels what matches, page by page, and nothing else", async () => {
    const harness = await start({ plain: never, keyed: never });
    const { runs, clock } = harness;
    const runIds = await startRuns(harness, 7);
    const [other = ""] = await startRuns(harness, 1, name("Keyed"));
    const later = await startRuns(harness, 1);
    const createdBefore = (await runs.getRun({ runId: later[0] ?? "" })).run?.createTime;
    if (createdBefore === undefined) throw new Error("it has no time");
    const filter = { workflow: plain, createdBefore };
    const answers = await pages((pageToken) =>
      runs.cancelRuns({ filter, force: true, reason: "wrong model", pageSize: 3, pageToken }),
    );
    expect(answers.map(({ cancelled }) => cancelled)).toEqual([3, 3, 1]);
    await clock.advance(30_000);
    for (const runId of runIds) {
      expect((await runs.getRun({ runId })).run).toMatchObject({
        state: RunState.CANCELLED,
        cancelReason: "wrong model",
      });
    }
    for (const runId of [other, ...later]) expect(await stateOf(harness, runId)).toBe(RunState.RUNNING);
    expect(await runs.cancelRuns({ filter, force: true })).toMatchObject({ matched: 0, cancelled: 0 });
  });

  it("leaves alone what comes between two pages", async () => {
    const harness = await start({ plain: never });
    const { runs } = harness;
    await startRuns(harness, 4);
    const first = await runs.cancelRuns({ filter: { workflow: plain }, force: true, pageSize: 2 });
    const [late = ""] = await startRuns(harness, 1);
    const { nextPageToken: pageToken } = first;
    await runs.cancelRuns({ filter: { workflow: plain }, force: true, pageSize: 2, pageToken });
    expect(await stateOf(harness, late)).toBe(RunState.RUNNING);
  });

  it("means children only where their parent is named", async () => {
    const harness = await start({
      plain: async (_, context) => {
        const { text } = await call(context, "a", WorkflowsService.method.limited, {});
        return { text };
      },
      limited: never,
    });
    const { runs } = harness;
    const [parentRunId = ""] = await startRuns(harness, 1);
    await harness.clock.advance(10);
    expect((await runs.cancelRuns({ filter: { workflow: name("Limited") } })).matched).toBe(0);
    expect((await runs.cancelRuns({ filter: { parentRunId } })).matched).toBe(1);
  });

  it("refuses a filter that means everything, states that cannot be cancelled, and foreign page tokens", async () => {
    const harness = await start({ plain: never });
    const { runs } = harness;
    await startRuns(harness, 3);
    for (const request of [{}, { filter: {} }]) await rejection(runs.cancelRuns(request), Code.InvalidArgument);
    const filter = { states: [RunState.FAILED, RunState.CANCELLING] };
    expect((await rejection(runs.cancelRuns({ filter }), Code.InvalidArgument)).rawMessage).toContain(
      "runs that are FAILED or CANCELLING cannot be cancelled",
    );
    const { nextPageToken: pageToken } = await runs.cancelRuns({ filter: { workflow: plain }, pageSize: 1 });
    for (const other of [{ filter: { workflow: plain }, force: true }, { filter: { workflow: name("Keyed") } }]) {
      await rejection(runs.cancelRuns({ ...other, pageToken }), Code.InvalidArgument);
    }
    expect((await runs.cancelRuns({ filter: { workflow: plain }, pageSize: 5, pageToken })).matched).toBe(2);
  });
});

describe("RerunRuns", () => {
  const failing = {
    plain: ({ text }: { text: string }) => {
      if (text === "fail") throw new ConnectError("no such model", Code.NotFound);
      return { text };
    },
  };

  it("starts one run for each that has ended badly, once under one batch", async () => {
    const harness = await start(failing);
    const { runs, clock } = harness;
    const failed = await startRuns(harness, 5, plain, '{"text":"fail"}');
    await startRuns(harness, 2);
    const filter = { workflow: plain };
    expect(await runs.rerunRuns({ filter })).toMatchObject({ matched: 5, started: 0 });
    const doIt = () =>
      pages((pageToken) => runs.rerunRuns({ filter, force: true, batch: "b", pageSize: 2, pageToken }));
    expect((await doIt()).map(({ started }) => started)).toEqual([2, 2, 1]);
    await clock.advance(10);
    // The reruns have failed too, and are none of this batch's business.
    const again = await doIt();
    expect(sum(again.map(({ matched }) => matched))).toBe(5);
    expect(sum(again.map(({ started }) => started))).toBe(0);
    const { runs: found } = await runs.listRuns({ pageSize: 100 });
    const reruns = found.filter(({ rerunOf }) => rerunOf !== "");
    expect(new Set(reruns.map(({ rerunOf }) => rerunOf))).toEqual(new Set(failed));
    expect(reruns).toHaveLength(5);
    expect(reruns[0]?.idempotencyKey).toBe(`b/${reruns[0]?.rerunOf}`);
    expect(await runs.rerunRuns({ filter, force: true, batch: "c" })).toMatchObject({ matched: 10, started: 10 });
  });

  it("means the states that are given, and the time", async () => {
    const harness = await start(failing);
    const { runs, clock } = harness;
    await startRuns(harness, 2);
    await clock.advance(1000);
    await startRuns(harness, 3);
    const states = [RunState.SUCCEEDED, RunState.RUNNING];
    expect((await runs.rerunRuns({ filter: { states } })).matched).toBe(5);
    const createdSince = timestampFromMs(clock.now() - 500);
    expect((await runs.rerunRuns({ filter: { states, createdSince } })).matched).toBe(3);
    expect((await runs.rerunRuns({ filter: { owner: { subject: "in-process" } } })).matched).toBe(0);
    await rejection(runs.rerunRuns({ filter: { states: [RunState.RUNNING] } }), Code.InvalidArgument);
    await rejection(runs.rerunRuns({ filter: { states }, force: true }), Code.InvalidArgument);
  });

  it("goes on where a full queue has stopped it", async () => {
    const gate = Promise.withResolvers<void>();
    let work: () => Promise<void> = () => Promise.reject(new ConnectError("gone", Code.NotFound));
    const harness = await start({
      limited: async ({ text }) => {
        await work();
        return { text };
      },
    });
    const { runs, clock } = harness;
    const workflow = name("Limited");
    await startRuns(harness, 6, workflow);
    work = () => gate.promise;
    const request = { filter: { workflow }, force: true, batch: "b" };
    // One works, two stand in line.
    const first = await runs.rerunRuns(request);
    expect(first).toMatchObject({ matched: 3, started: 3, refusals: [] });
    const next = { ...request, pageToken: first.nextPageToken };
    await rejection(runs.rerunRuns(next), Code.ResourceExhausted);
    gate.resolve();
    await clock.advance(0);
    expect(await runs.rerunRuns(next)).toMatchObject({ matched: 3, started: 3, nextPageToken: "" });
    await clock.advance(0);
    const { runs: done } = await runs.listRuns({ workflow, states: [RunState.SUCCEEDED] });
    expect(done).toHaveLength(6);
  });

  it("tells of each run why it cannot be rerun, and goes on", async () => {
    const harness = await start(failing);
    const { runs, storage } = harness;
    const [lost = "", ...others] = await startRuns(harness, 3, plain, '{"text":"fail"}');
    await storage.payloads.deleteRuns([lost]);
    const answer = await runs.rerunRuns({ filter: { workflow: plain }, force: true, batch: "b" });
    expect(answer).toMatchObject({
      matched: 3,
      started: others.length,
      refusals: [{ runId: lost, failure: { reason: "PAYLOAD_LOST" } }],
    });
  });
});
