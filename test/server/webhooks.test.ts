import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import type { WebhooksConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { OutboxEventSchema } from "../../gen/retake/v1/webhook_pb.js";
import { call } from "../../src/index.ts";
import { msFromTimestamp, type StreamAppend } from "../../src/runs/index.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import type { Storage } from "../../src/server/index.ts";
import { createTestServer, createVirtualClock, type VirtualClock } from "../../src/testing/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import {
  deadUrl,
  expectSignedBy,
  type Received,
  type Receiver,
  startReceiver,
  status,
  until,
} from "../webhooks/receiver.ts";
import { type Harness, rejection, startServer, stopServer } from "./harness.ts";

const secret = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
const newSecret = `whsec_${Buffer.alloc(32, 8).toString("base64")}`;
const plain = `${WorkflowsService.typeName}/Plain`;
const env = { SECRET: secret, NEW_SECRET: newSecret };
const secrets = [{ source: { case: "environment", value: "SECRET" } }] as const;

interface StartOptions {
  readonly webhooks?: MessageInitShape<typeof WebhooksConfigSchema>;
  readonly storage?: Storage;
  readonly clock?: VirtualClock;
  readonly own?: Parameters<typeof startServer>[0];
}

/** A server that tells the ends of Plain. */
async function start(url: string, { webhooks = {}, own, ...options }: StartOptions = {}): Promise<Harness> {
  const harness = await startServer(own, {
    ...options,
    env,
    config: {
      workflows: { [plain]: { notify: { url } } },
      webhooks: { secrets: [...secrets], ...webhooks } as MessageInitShape<typeof WebhooksConfigSchema>,
    },
  });
  onTestFinished(() => stopServer(harness));
  return harness;
}

async function startRun({ runs, clock }: Harness, init: Parameters<Harness["runs"]["startRun"]>[0] = {}) {
  const { run } = await runs.startRun({ workflow: plain, input: { case: "json", value: '{"text":"a"}' }, ...init });
  await clock.advance(0);
  return run?.runId ?? "";
}

const outbox = ({ storage }: Pick<Harness, "storage">) => storage.journal.listStreams("outbox/", "", 1000);
const records = async ({ storage }: Harness, runId: string) =>
  (await storage.journal.read(`outbox/${runId}`, 0, 100)).length;
/** When the POST is made again after so many that have failed. */
async function wakeAt(harness: Harness, runId: string, failures: number): Promise<number> {
  await until(async () => (await records(harness, runId)) > failures);
  const [record] = await harness.storage.journal.read(`outbox/${runId}`, failures, 1);
  const { event } = fromBinary(OutboxEventSchema, record?.data ?? new Uint8Array());
  expect(event).toMatchObject({ case: "failed", value: { attempt: failures } });
  return event.case === "failed" ? msFromTimestamp(event.value.wakeAt) : Number.NaN;
}

const last = ({ requests }: Receiver): Received => requests.at(-1) as Received;

describe("the end of a run", () => {
  it("is posted once, signed, as small JSON", async () => {
    const receiver = await startReceiver();
    const harness = await start(receiver.url, { clock: createVirtualClock({ startMs: 1_800_000_000_500 }) });
    const runId = await startRun(harness, { idempotencyKey: "k" });
    await receiver.received(1);
    const received = last(receiver);
    expectSignedBy(secret, received);
    expect(received).toMatchObject({ id: runId, timestamp: "1800000000" });
    expect(received.headers).toMatchObject({ "content-type": "application/json", "user-agent": "retake" });
    expect(received.json).toMatchObject({
      type: "run.succeeded",
      timestamp: "2027-01-15T08:00:00.500Z",
      data: {
        runId,
        workflow: plain,
        state: "RUN_STATE_SUCCEEDED",
        idempotencyKey: "k",
        owner: { tenant: "default", subject: "in-process" },
        endTime: "2027-01-15T08:00:00.500Z",
        result: {
          typeName: "retake.test.v1.PlainResponse",
          size: "3",
          value: { "@type": "type.googleapis.com/retake.test.v1.PlainResponse", text: "a" },
        },
      },
    });
    expect(received.json.data.input.value).toBeUndefined();
    await until(async () => (await outbox(harness)).length === 0);
    await harness.clock.advance(100_000_000);
    expect(receiver.requests).toHaveLength(1);
  });

  it("says how it ended", async () => {
    const receiver = await startReceiver();
    const harness = await start(receiver.url, {
      own: {
        plain: ({ text }) => {
          if (text === "fail") throw new ConnectError("no such model", Code.NotFound);
          return new Promise(() => {});
        },
      },
    });
    await startRun(harness, { input: { case: "json", value: '{"text":"fail"}' } });
    await receiver.received(1);
    expect(last(receiver).json).toMatchObject({
      type: "run.failed",
      data: { state: "RUN_STATE_FAILED", failure: { code: Code.NotFound, message: "no such model" } },
    });
    const cancelled = await startRun(harness);
    await harness.runs.cancelRun({ runId: cancelled, reason: "wrong prompt" });
    await harness.clock.advance(30_000);
    await receiver.received(2);
    expect(last(receiver).json).toMatchObject({ type: "run.cancelled", data: { cancelReason: "wrong prompt" } });
    await startRun(harness);
    await harness.clock.advance(24 * 3_600_000);
    await receiver.received(3);
    expect(last(receiver).json).toMatchObject({ type: "run.expired" });
  });

  it("names a result that is too large, without it", async () => {
    const receiver = await startReceiver();
    const harness = await start(receiver.url, { webhooks: { maxInlineResultBytes: 100 } });
    for (const [text, inline] of [
      ["x".repeat(98), true],
      ["x".repeat(99), false],
    ] as const) {
      await startRun(harness, { input: { case: "json", value: JSON.stringify({ text }) } });
      await receiver.received(inline ? 1 : 2);
      const { result } = last(receiver).json.data;
      expect(result.size).toBe(String(text.length + 2));
      expect(result.sha256).toBeTypeOf("string");
      expect(result.value?.text).toBe(inline ? text : undefined);
    }
  });

  it("is stored in the very append that ends the run, and only where somebody is told", async () => {
    const receiver = await startReceiver();
    receiver.answer(status(503));
    const clock = createVirtualClock();
    const storage = createMemoryStorage({ clock });
    const appends: (readonly StreamAppend[])[] = [];
    const { journal } = storage;
    const order = journal.order.bind(journal);
    journal.order = (...args) => {
      appends.push(args[0]);
      order(...args);
    };
    const harness = await start(receiver.url, {
      clock,
      storage,
      own: {
        once: async (_, context) => {
          await call(context, "child", WorkflowsService.method.plain, {});
          return {};
        },
      },
    });
    const runId = await startRun(harness);
    const ends = appends.filter((each) => each.some(({ state }) => state === RunState.SUCCEEDED));
    expect(ends.map((each) => each.map(({ stream }) => stream))).toEqual([[`run/${runId}`, `outbox/${runId}`]]);
    await startRun(harness, { workflow: `${WorkflowsService.typeName}/Once`, input: { case: undefined } });
    await until(async () => (await harness.runs.listRuns({ states: [RunState.SUCCEEDED] })).runs.length === 3);
    expect(await outbox(harness)).toEqual([`outbox/${runId}`]);
  });
});

describe("a POST that fails", () => {
  it("is made again after waits that double, with jitter and up to a limit, under the same id", async () => {
    const receiver = await startReceiver();
    receiver.answer(status(500));
    const harness = await start(receiver.url, {
      webhooks: { initialBackoff: { seconds: 10n }, maxBackoff: { seconds: 40n } },
    });
    const { clock } = harness;
    const runId = await startRun(harness);
    const waits: number[] = [];
    for (let count = 1; count <= 6; count++) {
      await receiver.received(count);
      const wakeAtMs = await wakeAt(harness, runId, count);
      waits.push((wakeAtMs - clock.now()) / 1000);
      await clock.advanceTo(wakeAtMs - 1);
      expect(receiver.requests).toHaveLength(count);
      await clock.advance(1);
    }
    await receiver.received(7);
    const lastMs = await wakeAt(harness, runId, 7);
    for (const [index, expected] of [10, 20, 40, 40, 40, 40].entries()) {
      expect(waits[index]).toBeGreaterThanOrEqual(expected * 0.8);
      expect(waits[index]).toBeLessThanOrEqual(expected * 1.2);
    }
    expect(new Set(waits.map(Math.round)).size).toBeGreaterThan(1);
    expect(new Set(receiver.requests.map(({ id }) => id))).toEqual(new Set([runId]));
    expect(new Set(receiver.requests.map(({ body }) => body)).size).toBe(1);
    for (const request of receiver.requests) expectSignedBy(secret, request);
    receiver.answer(status(200));
    await clock.advanceTo(lastMs);
    await until(async () => (await outbox(harness)).length === 0);
    expect(receiver.requests).toHaveLength(8);
  });

  it.each([
    ["seconds", () => "120"],
    ["a date", (nowMs: number) => new Date(nowMs + 120_000).toUTCString()],
  ])("waits as long as the receiver asks for in %s", async (_, retryAfter) => {
    const receiver = await startReceiver();
    const clock = createVirtualClock();
    receiver.answer(status(429, { "retry-after": retryAfter(clock.now()) }));
    const harness = await start(receiver.url, { clock });
    const runId = await startRun(harness);
    await receiver.received(1);
    await until(async () => (await records(harness, runId)) === 2);
    await clock.advance(119_000);
    await until(() => receiver.open === 0);
    expect(receiver.requests).toHaveLength(1);
    await clock.advance(1_000);
    await receiver.received(2);
  });

  it("keeps its time and number over a restart", async () => {
    const receiver = await startReceiver();
    receiver.answer(status(500));
    const webhooks = { initialBackoff: { seconds: 100n } };
    const first = await start(receiver.url, { webhooks });
    const { storage, clock } = first;
    const runId = await startRun(first);
    await receiver.received(1);
    const secondMs = await wakeAt(first, runId, 1);
    await stopServer(first);
    const second = await start(receiver.url, { storage, clock, webhooks });
    await clock.advanceTo(secondMs - 1);
    await until(() => receiver.open === 0);
    expect(receiver.requests).toHaveLength(1);
    await clock.advance(1);
    await receiver.received(2);
    const thirdMs = await wakeAt(second, runId, 2);
    expect(thirdMs - secondMs).toBeGreaterThanOrEqual(160_000);
    receiver.answer(status(204));
    await clock.advanceTo(thirdMs);
    await receiver.received(3);
    expect(last(receiver).id).toBe(runId);
    await until(async () => (await outbox(second)).length === 0);
  });

  it("is not led elsewhere", async () => {
    const elsewhere = await startReceiver();
    const receiver = await startReceiver();
    receiver.answer(status(307, { location: elsewhere.url }));
    const harness = await start(receiver.url);
    const runId = await startRun(harness);
    await receiver.received(1);
    await until(async () => (await records(harness, runId)) === 2);
    expect(elsewhere.requests).toEqual([]);
  });

  it("ends when the time for it is over, with or without the head of an answer", async () => {
    const receiver = await startReceiver();
    receiver.answer(() => undefined);
    const harness = await start(receiver.url, { webhooks: { timeout: { seconds: 3n } } });
    const runId = await startRun(harness);
    await until(() => receiver.open === 1);
    await harness.clock.advance(2_999);
    expect(receiver.open).toBe(1);
    receiver.answer((_, response) => response.writeHead(200).flushHeaders());
    await harness.clock.advance(1);
    await until(async () => (await records(harness, runId)) === 2);
    await until(() => receiver.open === 0);
    await harness.clock.advance(6_000);
    await until(() => receiver.open === 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await harness.clock.advance(3_000);
    await until(async () => (await records(harness, runId)) === 3);
  });

  it("is given up when the receiver is gone, and when too much time has passed", async () => {
    const receiver = await startReceiver();
    const harness = await start(receiver.url, {
      webhooks: { giveUpAfter: { seconds: 60n }, initialBackoff: { seconds: 40n } },
    });
    receiver.answer(status(410));
    await startRun(harness);
    await until(async () => receiver.requests.length === 1 && (await outbox(harness)).length === 0);
    receiver.answer(status(500));
    const runId = await startRun(harness);
    await harness.clock.advanceTo(await wakeAt(harness, runId, 1));
    await until(async () => (await outbox(harness)).length === 0);
    expect(receiver.requests).toHaveLength(3);
  });

  it("stands still while nobody listens there, and goes on when somebody does", async () => {
    const gone = await startReceiver();
    const { url } = gone;
    const harness = await start(await deadUrl());
    const runId = await startRun(harness);
    await until(async () => (await records(harness, runId)) === 2);
    await stopServer(harness);
    const again = await start(url, { storage: harness.storage, clock: harness.clock });
    await again.clock.advance(10_000);
    await gone.received(1);
    expect(last(gone).id).toBe(runId);
  });
});

describe("an answer", () => {
  it("that has no end is read up to a limit", async () => {
    const receiver = await startReceiver();
    receiver.answer((_, response) => {
      response.writeHead(200);
      const more = (): void => {
        if (!response.destroyed) response.write("x".repeat(64 * 1024), () => setImmediate(more));
      };
      more();
    });
    const harness = await start(receiver.url);
    await startRun(harness);
    await until(async () => receiver.requests.length === 1 && (await outbox(harness)).length === 0);
    await until(() => receiver.open === 0);
  });
});

describe("the outbox", () => {
  it("posts no more at once than it may", async () => {
    const receiver = await startReceiver();
    const held: (() => void)[] = [];
    receiver.answer((_, response) => held.push(() => response.writeHead(204).end()));
    const harness = await start(receiver.url, { webhooks: { concurrency: 10, concurrencyPerHost: 3 } });
    for (let count = 0; count < 20; count++) await startRun(harness);
    let most = 0;
    for (let answered = 0; answered < 20; answered++) {
      await until(() => held.length > 0);
      most = Math.max(most, receiver.open);
      held.shift()?.();
    }
    await until(async () => (await outbox(harness)).length === 0);
    expect(most).toBe(3);
    expect(new Set(receiver.requests.map(({ id }) => id)).size).toBe(20);
  });

  it("is emptied by the next server when this one stops before an answer came", async () => {
    const receiver = await startReceiver();
    receiver.answer(() => undefined);
    const first = await start(receiver.url);
    const runId = await startRun(first);
    await until(() => receiver.open === 1);
    await stopServer(first);
    await until(() => receiver.open === 0);
    receiver.answer(status(204));
    const second = await start(receiver.url, { storage: first.storage, clock: first.clock });
    await receiver.received(2);
    expect(receiver.requests.map(({ id }) => id)).toEqual([runId, runId]);
    await until(async () => (await outbox(second)).length === 0);
  });

  it("goes by the URL that the workflow has when it posts", async () => {
    const wrong = await startReceiver();
    wrong.answer(status(404));
    const right = await startReceiver();
    const first = await start(wrong.url);
    await startRun(first);
    await wrong.received(1);
    await until(async () => (await records(first, last(wrong).id)) === 2);
    await stopServer(first);
    const second = await start(right.url, { storage: first.storage, clock: first.clock });
    await second.clock.advance(10_000);
    await right.received(1);
    expect(wrong.requests).toHaveLength(1);
  });
});

describe("secrets", () => {
  it("all sign, and those in files are read again", async () => {
    const directory = await mkdtemp(join(tmpdir(), "retake-secrets-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    const file = join(directory, "secrets");
    await writeFile(file, `# since today\n${newSecret}\n`);
    const receiver = await startReceiver();
    const harness = await start(receiver.url, {
      webhooks: { secrets: [{ source: { case: "file", value: file } }, ...secrets] },
    });
    await startRun(harness);
    await receiver.received(1);
    expectSignedBy(secret, last(receiver));
    expectSignedBy(newSecret, last(receiver));
    const third = `whsec_${Buffer.alloc(32, 9).toString("base64")}`;
    await writeFile(file, `${third}\n\n${newSecret}`);
    await harness.clock.advance(60_000);
    await startRun(harness);
    await receiver.received(2);
    for (const each of [secret, newSecret, third]) expectSignedBy(each, last(receiver));
    await writeFile(file, "nonsense");
    await harness.clock.advance(60_000);
    await startRun(harness);
    await receiver.received(3);
    expectSignedBy(third, last(receiver));
  });

  it.each([
    [{}, /the ends of retake\.test\.v1\.WorkflowsService\/Plain are told .* nothing signs that/],
    [
      { secrets: [{ source: { case: "environment", value: "NOBODY" } }] },
      /secrets\[0\]: .* NOBODY is not set; make one/,
    ],
    [{ secrets: [{ source: { case: "file", value: "/nowhere" } }] }, /secrets\[0\]: .*\/nowhere/],
    [{ secrets: [{ source: { case: "environment", value: "WEAK" } }] }, /secrets\[0\]: .* WEAK: a secret is "whsec_"/],
  ] as const)("that cannot sign stop the server from starting: %j", async (webhooks, message) => {
    const { server } = createTestServer({
      env: { WEAK: "hunter2" },
      config: { workflows: { [plain]: { notify: { url: "http://127.0.0.1/" } } }, webhooks: webhooks as object },
    });
    server.serve(WorkflowsService).implement(WorkflowsService, (await import("./handlers.ts")).handlers());
    const error = await server.listen().then(
      () => new Error("it listens"),
      (thrown: Error) => thrown,
    );
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain("hunter2");
  });
});

describe("notify_url", () => {
  it("of a run goes before its workflow's, where the operator allows it, and holds for its reruns", async () => {
    const workflowsOwn = await startReceiver();
    const own = await startReceiver();
    const harness = await start(workflowsOwn.url, { webhooks: { allowedUrls: [new URL("/", own.url).href] } });
    const runId = await startRun(harness, { notifyUrl: own.url });
    await own.received(1);
    expect(last(own).id).toBe(runId);
    await harness.runs.rerunRun({ runId });
    await harness.clock.advance(0);
    await own.received(2);
    expect(last(own).json.data.rerunOf).toBe(runId);
    expect(workflowsOwn.requests).toEqual([]);
  });

  it("is refused where the operator does not allow it, with what would", async () => {
    const harness = await start("http://127.0.0.1/", { webhooks: { allowedUrls: ["https://hooks.example/retake/"] } });
    const error = await rejection(
      harness.runs.startRun({ workflow: plain, notifyUrl: "http://169.254.169.254/latest" }),
      Code.PermissionDenied,
    );
    expect(error.rawMessage).toContain('webhooks: { allowed_urls: ["http://169.254.169.254/"] }');
    expect(error.findDetails(ErrorInfoSchema)[0]?.reason).toBe("NOTIFY_URL_NOT_ALLOWED");
    for (const notifyUrl of ["ftp://hooks.example/", "https://user:password@hooks.example/", "http://[/", "x"]) {
      await rejection(harness.runs.startRun({ workflow: plain, notifyUrl }), Code.InvalidArgument);
    }
    expect((await harness.runs.listRuns({})).runs).toEqual([]);
  });

  it("that is no longer allowed is not called any more", async () => {
    const own = await startReceiver();
    own.answer(status(500));
    const allowedUrls = [new URL("/", own.url).href];
    const first = await start("http://127.0.0.1/", { webhooks: { allowedUrls } });
    const runId = await startRun(first, { notifyUrl: own.url });
    await until(async () => (await records(first, runId)) === 2);
    await stopServer(first);
    const second = await start("http://127.0.0.1/", { storage: first.storage, clock: first.clock });
    await second.clock.advance(10_000);
    await until(async () => (await outbox(second)).length === 0);
    expect(own.requests).toHaveLength(1);
  });
});
