import { create, type Message } from "@bufbuild/protobuf";
import { type Any, AnySchema, anyUnpack } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { describe, expect, expectTypeOf, it } from "vitest";
import {
  AnimaticRequestSchema,
  type AnimaticResponse,
  AnimaticResponseSchema,
  VideoService,
} from "../../examples/video/gen/storycore/video/v1/video_service_pb.js";
import { Quality } from "../../gen/retake/v1/options_pb.js";
import { type Run, RunState } from "../../gen/retake/v1/run_pb.js";
import {
  type ListRunsRequest,
  type RunService,
  RunView,
  type StartRunRequest,
} from "../../gen/retake/v1/run_service_pb.js";
import {
  connectRetake,
  RunCancelledError,
  RunError,
  RunExpiredError,
  RunFailedError,
  type RunHandle,
  type RunUpdate,
} from "../../src/client/index.ts";
import { createSeededRandom } from "../../src/testing/seeded-random.ts";
import { createVirtualClock } from "../../src/testing/virtual-clock.ts";
import { TransportService, type UnaryResponse } from "../gen/retake/test/v1/transport_pb.js";
import {
  cancelled,
  event,
  eventMessage,
  expired,
  failed,
  fakeTransport,
  journal,
  progressMessage,
  readAll,
  result,
  resultPayload,
  runId,
  runInState,
  someFailure,
  succeeded,
  workflow,
} from "./fake-runs.ts";

const { animatic } = VideoService.method;
const away = new ConnectError("away", Code.Unavailable);

function setUp(implementation: Partial<ServiceImpl<typeof RunService>>) {
  const clock = createVirtualClock();
  const retake = connectRetake({
    transport: fakeTransport(implementation, clock),
    clock,
    random: createSeededRandom(5),
  });
  return { clock, retake };
}

const started: ServiceImpl<typeof RunService>["startRun"] = () => runInState(RunState.QUEUED, { lastSequence: 1n });

describe("start", () => {
  it("sends workflow and input, with a random key, and gives a handle", async () => {
    const requests: StartRunRequest[] = [];
    const { retake } = setUp({
      startRun: (request) => {
        requests.push(request);
        return runInState(RunState.QUEUED);
      },
    });
    const run = await retake.start(animatic, { prompt: "a sunset" });
    await retake.start(animatic, { prompt: "a sunset" });
    expect(run).toMatchObject({ id: runId, joined: false });
    const [first, second] = requests;
    expect(first).toMatchObject({ workflow, priority: 0, minQuality: 0 });
    expect(anyUnpack(first?.input.value as Any, AnimaticRequestSchema)?.prompt).toBe("a sunset");
    expect(first?.timeout).toBeUndefined();
    expect(first?.idempotencyKey).toMatch(/^[0-9a-f]{32}$/);
    expect(second?.idempotencyKey).not.toBe(first?.idempotencyKey);
  });

  it("passes options on", async () => {
    let request: StartRunRequest | undefined;
    const { retake } = setUp({
      startRun: (given) => {
        request = given;
        return runInState(RunState.QUEUED);
      },
    });
    const notifyUrl = "https://hooks.example/";
    const options = { idempotencyKey: "k", priority: -5, minQuality: Quality.HIGH, timeoutMs: 1_500.5, notifyUrl };
    await retake.start(animatic, {}, options);
    expect(request).toMatchObject({
      idempotencyKey: "k",
      priority: -5,
      notifyUrl,
      minQuality: Quality.HIGH,
      timeout: { seconds: 1n, nanos: 500_500_000 },
    });
  });

  it("uses the key in the request's marked field", async () => {
    let key = "";
    const { retake } = setUp({
      startRun: ({ idempotencyKey }) => {
        key = idempotencyKey;
        return { ...runInState(RunState.QUEUED), joined: true };
      },
    });
    const run = await retake.start(animatic, { requestId: "mine" });
    expect(key).toBe("mine");
    expect(run.joined).toBe(true);
  });

  it("starts one run when the first answer is lost, and does not call that joining", async () => {
    const keys = new Set<string>();
    let calls = 0;
    const { retake, clock } = setUp({
      startRun: ({ idempotencyKey }) => {
        const joined = keys.has(idempotencyKey);
        keys.add(idempotencyKey);
        if (++calls < 3) throw away;
        return { ...runInState(RunState.QUEUED), joined };
      },
    });
    const starting = retake.start(animatic, {});
    await clock.runUntilIdle();
    expect(await starting).toMatchObject({ joined: false });
    expect(keys.size).toBe(1);
    expect(calls).toBe(3);
  });

  it("is not repeated with an empty key", async () => {
    const { retake } = setUp({
      startRun: () => {
        throw away;
      },
    });
    await expect(retake.start(animatic, {}, { idempotencyKey: "" })).rejects.toMatchObject({ code: Code.Unavailable });
  });

  it("gives up when its signal is aborted", async () => {
    const { retake, clock } = setUp({
      startRun: () => {
        throw away;
      },
    });
    const abort = new AbortController();
    const starting = retake.start(animatic, {}, { signal: abort.signal });
    starting.catch(() => undefined);
    await clock.advance(0);
    abort.abort();
    await expect(starting).rejects.toMatchObject({ code: Code.Canceled });
  });

  it("has a deadline, for a server that never answers", async () => {
    const { retake, clock } = setUp({ startRun: () => new Promise(() => {}) });
    const starting = retake.start(animatic, {});
    starting.catch(() => undefined);
    await clock.advance(60_000);
    await expect(starting).rejects.toMatchObject({ code: Code.DeadlineExceeded });
  });

  it("says which input cannot be encoded", async () => {
    const { retake } = setUp({ startRun: started });
    await expect(retake.start(animatic, { width: 1.5 })).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: expect.stringMatching(/the input of .*\/Animatic is no storycore.video.v1.AnimaticRequest: .*width/),
    });
    await expect(retake.start(animatic, {}, { timeoutMs: -1 })).rejects.toThrow("timeoutMs: a number of milliseconds");
  });

  it("has the response message of the method for a result", async () => {
    const { retake } = setUp({ startRun: started, watchRun: async function* () {} });
    const streaming = await retake.start(animatic, { prompt: "x" });
    expectTypeOf(streaming).toEqualTypeOf<RunHandle<AnimaticResponse>>();
    const unary = await retake.start(TransportService.method.unary, { text: "x" });
    expectTypeOf(unary).toEqualTypeOf<RunHandle<UnaryResponse>>();
    expectTypeOf(unary.result).returns.resolves.toEqualTypeOf<UnaryResponse>();
    expectTypeOf(streaming.events()).toEqualTypeOf<AsyncGenerator<RunUpdate, void, undefined>>();
    expectTypeOf(retake.client(VideoService)).toEqualTypeOf<Client<typeof VideoService>>();
    // @ts-expect-error the input is that of the method
    void (() => retake.start(animatic, { text: "x" }));
    // @ts-expect-error client-streaming methods are no workflows
    void (() => retake.start(TransportService.method.clientStream, {}));
  });
});

describe("result", () => {
  it("waits for the end behind what is known, and decodes the result", async () => {
    const asked: bigint[] = [];
    const { retake } = setUp({
      startRun: started,
      watchRun: async function* ({ afterSequence }) {
        asked.push(afterSequence);
        yield* journal(4)
          .filter(({ sequence }) => sequence > afterSequence)
          .map(eventMessage);
      },
    });
    const run = await retake.start(animatic, {});
    const video = await run.result();
    expect(video).toEqual(result);
    expect(await run.result()).toEqual(result);
    expect(asked).toEqual([1n]);
  });

  it("asks nobody again once its events have been read", async () => {
    let watches = 0;
    const { retake } = setUp({
      startRun: started,
      watchRun: async function* () {
        watches++;
        yield* journal(2).map(eventMessage);
      },
    });
    const run = await retake.start(animatic, {});
    const seen: RunUpdate[] = [];
    for await (const update of run.events()) seen.push(update);
    expect(seen.map(({ kind }) => kind)).toEqual(["event", "event"]);
    expect(await run.result()).toEqual(result);
    expect(watches).toBe(1);
  });

  it("of a run that has ended is fetched in a full view", async () => {
    const views: RunView[] = [];
    const { retake } = setUp({
      startRun: () => ({ ...runInState(RunState.SUCCEEDED), joined: true }),
      getRun: ({ view }) => {
        views.push(view);
        return runInState(RunState.SUCCEEDED, { result: resultPayload() });
      },
    });
    const joined = await retake.start(animatic, {}, { idempotencyKey: "k" });
    expect(joined.joined).toBe(true);
    expect(await joined.result()).toEqual(result);
    expect(await retake.attach(runId, animatic).result()).toEqual(result);
    expect(views).toEqual([RunView.FULL, RunView.FULL]);
  });

  it("rides through lost connections", async () => {
    let streams = 0;
    const { retake, clock } = setUp({
      startRun: started,
      getRun: () => runInState(RunState.RUNNING, { lastSequence: 1n }),
      watchRun: async function* ({ afterSequence }) {
        const next = journal(4).find(({ sequence }) => sequence > afterSequence);
        if (++streams % 2 === 1 || next === undefined) throw away;
        yield eventMessage(next);
      },
    });
    const run = await retake.start(animatic, {});
    const waiting = run.result();
    await clock.runUntilIdle();
    expect(await waiting).toEqual(result);
  });

  it("without the method is an Any", async () => {
    const { retake } = setUp({ getRun: () => runInState(RunState.SUCCEEDED, { result: resultPayload() }) });
    const any = await retake.attach(runId).result();
    expectTypeOf(any).toEqualTypeOf<Any>();
    expect(anyUnpack(any, AnimaticResponseSchema)).toEqual(result);
  });

  it("refuses a result of another type, and one that cannot be decoded", async () => {
    const payload = resultPayload();
    const { retake } = setUp({ getRun: () => runInState(RunState.SUCCEEDED, { result: payload }) });
    await expect(retake.attach(runId, VideoService.method.upscale).result()).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: expect.stringContaining("has a storycore.video.v1.AnimaticResponse for a result, not a"),
    });
    payload.value = create(AnySchema, { typeUrl: payload.value?.typeUrl ?? "", value: new Uint8Array([0xff]) });
    await expect(retake.attach(runId, animatic).result()).rejects.toMatchObject({ code: Code.DataLoss });
  });

  it("says when it is no longer stored, but knows an empty one without that", async () => {
    const stored = { typeName: AnimaticResponseSchema.typeName, size: 17n };
    const { retake } = setUp({ getRun: () => runInState(RunState.SUCCEEDED, { result: stored }) });
    await expect(retake.attach(runId, animatic).result()).rejects.toMatchObject({
      code: Code.NotFound,
      rawMessage: expect.stringContaining("(storycore.video.v1.AnimaticResponse, 17 bytes) is no longer stored"),
    });
    stored.size = 0n;
    expect(await retake.attach(runId, animatic).result()).toEqual(create(AnimaticResponseSchema));
  });

  it("of an unknown run is the server's answer", async () => {
    const { retake } = setUp({
      getRun: () => {
        throw new ConnectError("there is no run", Code.NotFound);
      },
    });
    const error: unknown = await retake
      .attach(runId)
      .result()
      .catch((reason) => reason);
    expect(error).toBeInstanceOf(ConnectError);
    expect(error).not.toBeInstanceOf(RunError);
    expect(error).toMatchObject({ code: Code.NotFound });
  });

  it("gives up waiting when its signal is aborted or the client is closed", async () => {
    for (const end of ["abort", "close"]) {
      const { retake, clock } = setUp({ startRun: started, watchRun: () => silence() });
      const run = await retake.start(animatic, {});
      const abort = new AbortController();
      const waiting = run.result({ signal: abort.signal });
      waiting.catch(() => undefined);
      await clock.advance(1_000);
      if (end === "abort") abort.abort();
      else retake.close();
      await expect(waiting).rejects.toMatchObject({ code: Code.Canceled });
      expect(clock.pendingTimers).toBe(0);
    }
  });
});

async function* silence(): AsyncGenerator<never> {
  await new Promise(() => {});
}

describe("a run without a result", () => {
  const endings = [
    {
      name: "failed",
      type: RunFailedError,
      state: RunState.FAILED,
      end: failed(),
      run: { failure: someFailure },
      told: {
        code: Code.Unavailable,
        failure: someFailure,
        message: `run ${runId} failed: GPU_LOST: the card fell off the bus (reference ref-1)`,
      },
    },
    {
      name: "cancelled",
      type: RunCancelledError,
      state: RunState.CANCELLED,
      end: cancelled("wrong prompt"),
      run: { cancelReason: "wrong prompt" },
      told: { code: Code.Canceled, reason: "wrong prompt", message: `run ${runId} was cancelled: wrong prompt` },
    },
    {
      name: "expired",
      type: RunExpiredError,
      state: RunState.EXPIRED,
      end: expired(),
      run: {},
      told: { code: Code.DeadlineExceeded, message: `run ${runId} did not end before its deadline` },
    },
  ];

  it.each(endings)("that $name throws a typed error, whether it is watched or has ended before", async (ending) => {
    let state = RunState.RUNNING;
    const { retake } = setUp({
      startRun: started,
      getRun: () => runInState(state, ending.run),
      watchRun: async function* ({ afterSequence }) {
        state = ending.state;
        yield* journal(3, ending.end)
          .filter(({ sequence }) => sequence > afterSequence)
          .map(eventMessage);
      },
    });
    for (const run of [await retake.start(animatic, {}), retake.attach(runId, animatic)]) {
      const error: unknown = await run.result().catch((reason) => reason);
      expect(error).toBeInstanceOf(ending.type);
      expect(error).toBeInstanceOf(RunError);
      expect(error).not.toBeInstanceOf(ConnectError);
      expect(error).toMatchObject({ ...ending.told, state: ending.name, name: ending.type.name });
      expect((error as RunError).run).toMatchObject({ runId, workflow, state: ending.state });
    }
  });

  it.each(endings)("that $name is told by its last event when the server is away by then", async (ending) => {
    const { retake, clock } = setUp({
      startRun: started,
      getRun: () => {
        throw away;
      },
      watchRun: async function* () {
        yield eventMessage(event(2, ending.end));
      },
    });
    const run = await retake.start(animatic, {});
    const waiting = run.result();
    waiting.catch(() => undefined);
    await clock.runUntilIdle();
    const error: unknown = await waiting.catch((reason) => reason);
    expect(error).toBeInstanceOf(ending.type);
    expect(error).toMatchObject(ending.told);
    expect((error as RunError).run).toMatchObject({ runId, state: ending.state, lastSequence: 2n });
  });

  it("tells the three apart by type and by state", () => {
    const error = new RunFailedError({ runId } as Run);
    expectTypeOf(error.state).toEqualTypeOf<"failed">();
    expect(error).not.toBeInstanceOf(RunCancelledError);
    expect(error.code).toBe(Code.Internal);
  });
});

describe("a handle", () => {
  it("gets, cancels and reruns its run", async () => {
    const calls: unknown[] = [];
    const { retake } = setUp({
      getRun: ({ view }) => {
        calls.push(["get", view]);
        return runInState(RunState.RUNNING);
      },
      cancelRun: ({ reason }) => {
        calls.push(["cancel", reason]);
        return runInState(RunState.CANCELLING);
      },
      rerunRun: ({ idempotencyKey, discardSteps }) => {
        calls.push(["rerun", idempotencyKey.length, discardSteps]);
        return { run: { runId: "another", state: RunState.QUEUED } };
      },
    });
    const run = retake.attach(runId, animatic);
    expect((await run.get()).state).toBe(RunState.RUNNING);
    await run.get({ view: RunView.FULL });
    expect((await run.cancel("enough")).state).toBe(RunState.CANCELLING);
    const again = await run.rerun({ discardSteps: true });
    expectTypeOf(again).toEqualTypeOf<RunHandle<AnimaticResponse>>();
    expect(again.id).toBe("another");
    expect(calls).toEqual([
      ["get", RunView.BASIC],
      ["get", RunView.FULL],
      ["cancel", "enough"],
      ["rerun", 32, true],
    ]);
  });

  it("tells events and progress apart, from where it is asked to", async () => {
    const asked: unknown[] = [];
    const { retake } = setUp({
      watchRun: async function* ({ afterSequence, view }) {
        asked.push([afterSequence, view]);
        yield progressMessage(0.25, 7);
        yield eventMessage(event(8, succeeded()));
      },
    });
    const seen: string[] = [];
    for await (const update of retake.attach(runId).events({ afterSequence: 7, view: RunView.FULL })) {
      seen.push(update.kind === "event" ? String(update.event.event.case) : String(update.progress.progress?.fraction));
    }
    expect(seen).toEqual(["0.25", "succeeded"]);
    expect(asked).toEqual([[7n, RunView.FULL]]);
  });
});

describe("list", () => {
  it("fetches pages as they are read", async () => {
    const requests: ListRunsRequest[] = [];
    const { retake } = setUp({
      listRuns: (request) => {
        requests.push(request);
        const page = Number(request.pageToken || "0");
        return {
          runs: [{ runId: `${page}a` }, { runId: `${page}b` }],
          nextPageToken: page < 2 ? String(page + 1) : "",
        };
      },
    });
    const ids: string[] = [];
    for await (const run of retake.list({ workflow, states: [RunState.FAILED], pageSize: 2 })) {
      ids.push(run.runId);
      if (ids.length === 3) break;
    }
    expect(ids).toEqual(["0a", "0b", "1a"]);
    expect(requests).toMatchObject([
      { workflow, states: [RunState.FAILED], pageSize: 2, pageToken: "" },
      { workflow, states: [RunState.FAILED], pageSize: 2, pageToken: "1" },
    ]);
    expect(await readAll(retake.list())).toHaveLength(6);
  });
});

describe("close", () => {
  it("refuses calls from then on, and can be repeated", async () => {
    const { retake } = setUp({ startRun: started });
    {
      using closing = retake;
      void closing;
    }
    retake.close();
    await expect(retake.start(animatic, {})).rejects.toMatchObject({
      code: Code.Canceled,
      rawMessage: "the client has been closed",
    });
  });
});

describe("options", () => {
  it.each([
    [{ target: "" }, 'target: name the server, as "host:port"'],
    [{ target: "https://gpu:443" }, 'leave out "https://", and set tls to true'],
    [{ target: "http://gpu:50051" }, 'leave out "http://"'],
    [{ target: "gpu 50051" }, "has a space in it"],
    [{ target: "localhost:1", apiKey: "a b" }, "apiKey: a key has only printable ASCII"],
    [{ target: "gpu:50051", apiKey: "k" }, "apiKey would travel to gpu:50051 in plain text: set tls"],
    [{ target: "localhost:1,gpu:1", apiKey: "k" }, "in plain text"],
    [{ target: "gpu:50051", tls: { cert: "c" } }, "are given together"],
    [{ target: "localhost:1", retryForMs: -1 }, "retryForMs: a number of milliseconds, 0 or more, not -1"],
    [{ target: "localhost:1", reconnectForMs: Number.NaN }, "reconnectForMs"],
  ])("%j are refused", (options, message) => {
    expect(() => connectRetake(options)).toThrow(message);
  });

  it.each([
    { target: "localhost:50051", apiKey: "k" },
    { target: "127.0.0.1:1", apiKey: "k" },
    { target: "[::1]:1", apiKey: "k" },
    { target: "unix:/run/retake.sock", apiKey: "k" },
    { target: "dns:///localhost:1", apiKey: "k" },
    { target: "gpu:50051", apiKey: "k", tls: true },
    { target: "gpu:50051", apiKey: "k", allowPlaintextApiKey: true },
  ])("%j are taken", (options) => {
    connectRetake(options).close();
  });

  it("never repeat the API key in a message", () => {
    const apiKey = "secret value";
    expect(() => connectRetake({ target: "localhost:1", apiKey })).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining("secret") }),
    );
  });
});

it("sends the API key with every call, unless the call brings its own credentials", async () => {
  const seen: (string | null)[] = [];
  const clock = createVirtualClock();
  const transport = fakeTransport(
    {
      getRun: (_, { requestHeader }) => {
        seen.push(requestHeader.get("authorization"));
        return {};
      },
      watchRun: async function* (_, { requestHeader }) {
        seen.push(requestHeader.get("authorization"));
        yield eventMessage(event(1, succeeded()));
      },
    },
    clock,
  );
  const retake = connectRetake({ transport, apiKey: "key-1", clock });
  await retake.attach(runId).get();
  await readAll(retake.attach(runId).events());
  await retake.runs.getRun({ runId }, { headers: { authorization: "Bearer other" } });
  expect(seen).toEqual(["Bearer key-1", "Bearer key-1", "Bearer other"]);
});

/** `Message` must not be what results fall back to when inference fails. */
expectTypeOf<AnimaticResponse>().not.toEqualTypeOf<Message>();
