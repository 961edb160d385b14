import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { type Run, RunState } from "../../gen/retake/v1/run_pb.js";
import { msFromTimestamp, timestampFromMs } from "../../src/runs/time.ts";
import {
  KeyedRequestSchema,
  PlainRequestSchema,
  PlainResponseSchema,
  WorkflowsService,
} from "../gen/retake/test/v1/workflows_pb.js";
import { type Harness, rejection, startServer, stopServer } from "./harness.ts";

async function start(...args: Parameters<typeof startServer>): Promise<Harness> {
  const harness = await startServer(...args);
  onTestFinished(() => stopServer(harness));
  return harness;
}

const workflow = (method: string) => `${WorkflowsService.typeName}/${method}`;
const unknownId = "018f0000-0000-7000-8000-000000000000";
const fields = (error: ConnectError) =>
  error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations.map(({ field }) => field));
const reason = (error: ConnectError) => error.findDetails(ErrorInfoSchema)[0]?.reason;

describe("StartRun", () => {
  it("takes its input as a message, as JSON, or not at all", async () => {
    const harness = await start();
    const message = create(PlainRequestSchema, { text: "any" });
    for (const input of [
      { case: "message", value: anyPack(PlainRequestSchema, message) },
      { case: "json", value: '{"text":"any"}' },
      { case: undefined },
    ] as const) {
      const { run, joined } = await harness.runs.startRun({ workflow: workflow("Plain"), input });
      expect(joined).toBe(false);
      await harness.clock.advance(10);
      const { run: ended } = await harness.runs.getRun({ runId: run?.runId ?? "", view: 2 });
      expect(ended?.state).toBe(RunState.SUCCEEDED);
      expect(Buffer.from(ended?.result?.value?.value ?? []).toString()).toContain(
        input.case === undefined ? "" : "any",
      );
    }
  });

  it("joins the run of the same key, by whichever place the key comes", async () => {
    const harness = await start();
    const first = await harness.runs.startRun({ workflow: workflow("Keyed"), idempotencyKey: "k" });
    const second = await harness.runs.startRun({ workflow: workflow("Keyed"), idempotencyKey: "k" });
    expect(second.joined).toBe(true);
    expect(second.run?.runId).toBe(first.run?.runId);
    const input = anyPack(KeyedRequestSchema, create(KeyedRequestSchema, { requestId: "r" }));
    const third = await harness.runs.startRun({
      workflow: workflow("Keyed"),
      input: { case: "message", value: input },
    });
    const fourth = await harness.runs.startRun({
      workflow: workflow("Keyed"),
      input: { case: "message", value: input },
    });
    expect(fourth).toMatchObject({ joined: true, run: { runId: third.run?.runId, idempotencyKey: "r" } });
  });

  it("names the workflow that it does not know, and the nearest one that it does", async () => {
    const harness = await start();
    const error = await rejection(harness.runs.startRun({ workflow: workflow("Plian") }), Code.NotFound);
    expect(error.rawMessage).toContain(workflow("Plain"));
    expect(reason(error)).toBe("UNKNOWN_WORKFLOW");
    await rejection(harness.runs.startRun({ workflow: "" }), Code.InvalidArgument);
  });

  it("refuses an Any of another type, and one that cannot be decoded", async () => {
    const harness = await start();
    const wrong = anyPack(PlainResponseSchema, create(PlainResponseSchema, {}));
    const error = await rejection(
      harness.runs.startRun({ workflow: workflow("Plain"), input: { case: "message", value: wrong } }),
      Code.InvalidArgument,
    );
    expect(error.rawMessage).toContain("retake.test.v1.PlainRequest");
    const broken = {
      ...anyPack(PlainRequestSchema, create(PlainRequestSchema, {})),
      value: new Uint8Array([0x0a, 0xff]),
    };
    const undecodable = await rejection(
      harness.runs.startRun({ workflow: workflow("Plain"), input: { case: "message", value: broken } }),
      Code.InvalidArgument,
    );
    expect(fields(undecodable)).toEqual(["message.value"]);
  });

  it("names the path of every field that is wrong in JSON", async () => {
    const harness = await start();
    for (const [json, paths] of [
      ["{", ["json"]],
      ["[]", ["json"]],
      ['{"text":7}', ["json.text"]],
      ['{"txet":"a"}', ["json"]],
      ['{"text":"a","text":"b"}', ["json"]],
    ] as const) {
      const error = await rejection(
        harness.runs.startRun({ workflow: workflow("Plain"), input: { case: "json", value: json } }),
        Code.InvalidArgument,
      );
      expect(fields(error)).toEqual(paths);
    }
  });

  it("names every rule that the input breaks", async () => {
    const harness = await start();
    const error = await rejection(
      harness.runs.startRun({ workflow: workflow("Flaky"), input: { case: "json", value: '{"failures":101}' } }),
      Code.InvalidArgument,
    );
    expect(fields(error)).toEqual(["failures"]);
    expect((await harness.runs.listRuns({})).runs).toEqual([]);
  });

  it("refuses an input that is larger than a message may be", async () => {
    const harness = await start({}, { config: { grpc: { port: 0, limits: { maxMessageBytes: 2000 } } } });
    const json = JSON.stringify({ text: "x".repeat(3000) });
    const error = await rejection(
      harness.runs.startRun({ workflow: workflow("Plain"), input: { case: "json", value: json } }),
      Code.ResourceExhausted,
    );
    expect(error.rawMessage).toContain("2000");
  });

  it("fails a run whose result is larger than a message may be, and says what to do", async () => {
    const harness = await start(
      { plain: () => ({ text: "x".repeat(3000) }) },
      { config: { grpc: { port: 0, limits: { maxMessageBytes: 2000 } } } },
    );
    const error = await rejection(harness.workflows.plain({}), Code.ResourceExhausted);
    expect(error.rawMessage).toContain("return a reference to it instead");
  });
});

describe("GetRun, CancelRun and RerunRun", () => {
  it("refuse an unknown run and a malformed id", async () => {
    const { runs } = await start();
    for (const method of [runs.getRun, runs.cancelRun, runs.rerunRun] as const) {
      await rejection(method({ runId: unknownId }), Code.NotFound);
      await rejection(method({ runId: "nonsense" }), Code.InvalidArgument);
      await rejection(method({}), Code.InvalidArgument);
    }
  });

  it("take an id in upper case", async () => {
    const harness = await start();
    const { run } = await harness.runs.startRun({ workflow: workflow("Plain") });
    expect((await harness.runs.getRun({ runId: run?.runId.toUpperCase() ?? "" })).run?.runId).toBe(run?.runId);
  });
});

describe("the wait of a run", () => {
  it("tells its gate, its place in line, since when, and in a full view who holds what it waits for", async () => {
    const harness = await start({ limited: () => new Promise(() => {}) });
    const { runs, clock } = harness;
    const started: string[] = [];
    for (let count = 0; count < 3; count++) {
      started.push((await runs.startRun({ workflow: workflow("Limited") })).run?.runId ?? "");
      await clock.advance(1000);
    }
    const [holder, next = "", last = ""] = started;
    const { run } = await runs.getRun({ runId: last, view: 2 });
    expect(run?.wait).toMatchObject({ gate: "workflow", position: 2, holders: [holder] });
    expect(run?.wait?.reason).toMatch(/is at its limit of 1: number 2 in line$/);
    expect(run?.wait?.since).toEqual(run?.createTime);
    expect((await runs.getRun({ runId: next, view: 2 })).run?.wait).toMatchObject({ position: 1, holders: [holder] });
    expect((await runs.getRun({ runId: next })).run?.wait).toMatchObject({ position: 1, holders: [] });
    expect((await runs.listRuns({ states: [RunState.RUNNING] })).runs[0]?.wait).toBeUndefined();
  });

  it("tells since when and until when it backs off", async () => {
    const harness = await start({
      flaky: () => {
        throw new ConnectError("away", Code.Unavailable);
      },
    });
    const { run } = await harness.runs.startRun({ workflow: workflow("Flaky") });
    await harness.clock.advance(0);
    const shown = (await harness.runs.getRun({ runId: run?.runId ?? "", view: 2 })).run;
    expect(shown?.wait).toMatchObject({ gate: "backoff", position: 0, holders: [] });
    expect(shown?.wait?.since).toEqual(run?.createTime);
    const waitMs = msFromTimestamp(shown?.wait?.notBefore) - msFromTimestamp(shown?.wait?.since);
    expect(waitMs).toBeGreaterThanOrEqual(800);
    expect(waitMs).toBeLessThanOrEqual(1200);
  });
});

describe("ListRuns", () => {
  /** Twelve runs of two workflows, a second apart, every third one failed. */
  async function twelve(): Promise<Harness> {
    const harness = await start({
      plain: ({ text }) => {
        if (text === "fail") throw new Error("on purpose");
        return {};
      },
    });
    for (let n = 0; n < 12; n++) {
      await harness.runs.startRun({
        workflow: workflow(n % 2 === 0 ? "Plain" : "Limited"),
        input: { case: "json", value: JSON.stringify(n % 2 === 0 && n % 3 === 0 ? { text: "fail" } : {}) },
      });
      await harness.clock.advance(1000);
    }
    return harness;
  }

  const ids = (runs: readonly Run[]) => runs.map(({ runId }) => runId);

  it("lists the newest first, page by page, without a gap or a repeat", async () => {
    const { runs } = await twelve();
    const all = await runs.listRuns({});
    expect(all.runs).toHaveLength(12);
    expect(all.nextPageToken).toBe("");
    expect(ids(all.runs)).toEqual(ids(all.runs).toSorted().reverse());
    for (const pageSize of [1, 5, 12, 100]) {
      const seen: string[] = [];
      let pageToken = "";
      do {
        const page = await runs.listRuns({ pageSize, pageToken });
        expect(page.runs.length).toBeLessThanOrEqual(pageSize);
        seen.push(...ids(page.runs));
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      expect(seen).toEqual(ids(all.runs));
    }
  });

  it("finds the newest run of a key, if it matches the other filters too", async () => {
    const { runs, clock } = await start();
    const startKeyed = async () => {
      const { run } = await runs.startRun({ workflow: workflow("Plain"), idempotencyKey: "k" });
      await clock.advance(1000);
      return run?.runId ?? "";
    };
    const runId = await startKeyed();
    await runs.startRun({ workflow: workflow("Limited"), idempotencyKey: "k" });
    await clock.advance(1000);
    const found = async (more: object) =>
      ids((await runs.listRuns({ workflow: workflow("Plain"), idempotencyKey: "k", ...more })).runs);
    expect(await found({})).toEqual([runId]);
    expect(await found({ states: [RunState.SUCCEEDED], owner: { subject: "in-process" } })).toEqual([runId]);
    expect(await found({ states: [RunState.FAILED] })).toEqual([]);
    expect(await found({ owner: { subject: "somebody" } })).toEqual([]);
    expect(await found({ createdSince: timestampFromMs(clock.now()) })).toEqual([]);
    expect(await found({ idempotencyKey: "other" })).toEqual([]);
    const error = await rejection(runs.listRuns({ idempotencyKey: "k" }), Code.InvalidArgument);
    expect(error.rawMessage).toContain("idempotency_key belongs to a workflow");
  });

  it("filters by workflow, state, owner, parent and time, alone and together", async () => {
    const { runs, clock } = await twelve();
    const all = (await runs.listRuns({})).runs;
    const count = async (request: Parameters<typeof runs.listRuns>[0]) => (await runs.listRuns(request)).runs.length;
    expect(await count({ workflow: workflow("Plain") })).toBe(6);
    expect(await count({ workflow: workflow("Nothing") })).toBe(0);
    expect(await count({ states: [RunState.FAILED] })).toBe(2);
    expect(await count({ states: [RunState.FAILED, RunState.SUCCEEDED] })).toBe(12);
    expect(await count({ states: [RunState.RUNNING] })).toBe(0);
    expect(await count({ owner: { tenant: "default", subject: "in-process" } })).toBe(12);
    expect(await count({ owner: { subject: "somebody" } })).toBe(0);
    expect(await count({ parentRunId: all[0]?.runId ?? "" })).toBe(0);
    const createdSince = timestampFromMs(clock.now() - 4000);
    expect(await count({ createdSince })).toBe(4);
    expect(await count({ createdBefore: createdSince })).toBe(8);
    expect(await count({ createdSince, workflow: workflow("Plain"), states: [RunState.SUCCEEDED] })).toBe(2);
  });

  it("refuses a page token that is malformed, or belongs to another request", async () => {
    const { runs } = await twelve();
    const { nextPageToken } = await runs.listRuns({ pageSize: 2 });
    for (const pageToken of ["nonsense", "e30", Buffer.from("null").toString("base64url"), `${nextPageToken}x`]) {
      await rejection(runs.listRuns({ pageToken }), Code.InvalidArgument);
    }
    const other = await rejection(
      runs.listRuns({ pageToken: nextPageToken, workflow: workflow("Plain") }),
      Code.InvalidArgument,
    );
    expect(other.rawMessage).toContain("filters must stay the same");
    await rejection(runs.listRuns({ pageSize: -1 }), Code.InvalidArgument);
    await rejection(runs.listRuns({ pageSize: 1001 }), Code.InvalidArgument);
    await rejection(runs.listRuns({ states: [0 as RunState] }), Code.InvalidArgument);
  });
});

describe("ListWorkflows", () => {
  it("lists workflows by name with their policy and back-end, page by page", async () => {
    const { runs } = await start(
      {},
      {
        config: {
          grpc: { disabled: true },
          web: { disabled: true },
          workflows: { [workflow("Plain")]: { retry: { maxAttempts: 9 } } },
        },
      },
    );
    const { workflows } = await runs.listWorkflows({});
    expect(workflows.map(({ workflow: name }) => name)).toEqual(workflows.map(({ workflow: name }) => name).toSorted());
    expect(workflows.find(({ workflow: name }) => name === workflow("Streaming"))).toMatchObject({
      streaming: true,
      inputType: "retake.test.v1.StreamingRequest",
      endpoints: ["in-process"],
    });
    expect(workflows.find(({ workflow: name }) => name === workflow("Plain"))?.policy?.retry?.maxAttempts).toBe(9);
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await runs.listWorkflows({ pageSize: 3, pageToken });
      seen.push(...page.workflows.map(({ workflow: name }) => name));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual(workflows.map(({ workflow: name }) => name));
    await rejection(runs.listWorkflows({ pageToken: "nonsense" }), Code.InvalidArgument);
    const token = (await runs.listRuns({ pageSize: 1 })).nextPageToken;
    expect(token).toBe("");
  });
});
