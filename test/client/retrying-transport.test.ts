import { getEventListeners } from "node:events";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createServiceImplSpec, type ServiceImpl } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { AnimaticRequestSchema, VideoService } from "../../examples/video/gen/storycore/video/v1/video_service_pb.js";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { FailureSchema } from "../../gen/retake/v1/run_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { createRetryingTransport } from "../../src/client/retrying-transport.ts";
import { createSeededRandom } from "../../src/testing/seeded-random.ts";
import { createVirtualClock } from "../../src/testing/virtual-clock.ts";
import { createInProcessTransport } from "../../src/transport/index.ts";
import { TransportService } from "../gen/retake/test/v1/transport_pb.js";
import { runId } from "./fake-runs.ts";

/** A server that fails that many times before it answers. */
function setUp(options: { failures: number; error?: ConnectError; retryForMs?: number }) {
  const { failures, error = new ConnectError("away", Code.Unavailable), retryForMs = 30_000 } = options;
  const clock = createVirtualClock();
  const calls: { atMs: number; timeoutMs: number | undefined }[] = [];
  const answer = <T>(value: T, timeoutMs: number | undefined): T => {
    calls.push({ atMs: clock.monotonic(), timeoutMs });
    if (calls.length <= failures) throw error;
    return value;
  };
  const runs: Partial<ServiceImpl<typeof RunService>> = {
    startRun: (_, { timeoutMs }) => answer({ joined: false }, timeoutMs()),
    rerunRun: (_, { timeoutMs }) => answer({}, timeoutMs()),
    getRun: (_, { timeoutMs }) => answer({}, timeoutMs()),
    cancelRun: (_, { timeoutMs }) => answer({}, timeoutMs()),
    listRuns: (_, { timeoutMs }) => answer({}, timeoutMs()),
    listWorkflows: (_, { timeoutMs }) => answer({}, timeoutMs()),
    // biome-ignore lint/correctness/useYield: a stream that fails before its first message
    async *watchRun() {
      answer({}, undefined);
    },
  };
  const plain: Partial<ServiceImpl<typeof TransportService>> = {
    unary: (_, { timeoutMs }) => answer({}, timeoutMs()),
  };
  const closing = new AbortController();
  const transport = createRetryingTransport(
    createInProcessTransport(
      [createServiceImplSpec(RunService, runs), createServiceImplSpec(TransportService, plain)],
      { clock },
    ),
    { retryForMs, clock, random: createSeededRandom(3), closed: closing.signal },
  );
  return { clock, calls, closing, transport, client: createClient(RunService, transport) };
}

type Client = ReturnType<typeof setUp>["client"];

async function settled<T>(clock: ReturnType<typeof createVirtualClock>, promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  await clock.runUntilIdle();
  return promise;
}

describe("createRetryingTransport", () => {
  const repeatable: [string, (client: Client) => Promise<unknown>][] = [
    ["GetRun", (client) => client.getRun({ runId })],
    ["ListRuns", (client) => client.listRuns({})],
    ["ListWorkflows", (client) => client.listWorkflows({})],
    ["CancelRun", (client) => client.cancelRun({ runId })],
    ["StartRun with a key", (client) => client.startRun({ idempotencyKey: "k" })],
    ["RerunRun with a key", (client) => client.rerunRun({ runId, idempotencyKey: "k" })],
  ];
  it.each(repeatable)("repeats %s until the server is back", async (_, call) => {
    const { clock, calls, client } = setUp({ failures: 4 });
    await settled(clock, call(client));
    expect(calls).toHaveLength(5);
  });

  const single: [string, (client: Client) => Promise<unknown>][] = [
    ["StartRun without a key", (client) => client.startRun({})],
    ["RerunRun without a key", (client) => client.rerunRun({ runId })],
  ];
  it.each(single)("does not repeat %s", async (_, call) => {
    const { clock, calls, client } = setUp({ failures: 1 });
    await expect(settled(clock, call(client))).rejects.toMatchObject({ code: Code.Unavailable });
    expect(calls).toHaveLength(1);
  });

  it("does not repeat a method that makes no promise, unless it is called with a key", async () => {
    const without = setUp({ failures: 1 });
    const call = createClient(TransportService, without.transport).unary({});
    await expect(settled(without.clock, call)).rejects.toMatchObject({ code: Code.Unavailable });
    const withKey = setUp({ failures: 1 });
    const headers = { "idempotency-key": "k" };
    await settled(withKey.clock, createClient(TransportService, withKey.transport).unary({}, { headers }));
    expect(withKey.calls).toHaveLength(2);
  });

  it("takes the marked field of a request for a key", async () => {
    for (const [requestId, calls] of [
      ["", 1],
      ["k", 2],
    ] as const) {
      let called = 0;
      const clock = createVirtualClock();
      const transport = createRetryingTransport(
        {
          unary: () => {
            called++;
            return Promise.reject(new ConnectError("away", Code.Unavailable));
          },
          stream: () => Promise.reject(new Error("not called")),
        },
        { retryForMs: 200, clock, random: createSeededRandom(1), closed: new AbortController().signal },
      );
      const method = { ...VideoService.method.animatic, methodKind: "unary" } as never;
      const call = transport.unary(
        method,
        undefined,
        undefined,
        undefined,
        create(AnimaticRequestSchema, { requestId }) as never,
      );
      await expect(settled(clock, call)).rejects.toMatchObject({ code: Code.Unavailable });
      expect(called).toBe(calls);
    }
  });

  it("does not repeat streams", async () => {
    const { clock, calls, client } = setUp({ failures: 1 });
    const reading = (async () => {
      for await (const _ of client.watchRun({ runId }));
    })();
    await expect(settled(clock, reading)).rejects.toMatchObject({ code: Code.Unavailable });
    expect(calls).toHaveLength(1);
  });

  it.each([Code.NotFound, Code.Internal, Code.ResourceExhausted, Code.Canceled, Code.DeadlineExceeded])(
    "does not repeat after code %i",
    async (code) => {
      const { clock, calls, client } = setUp({ failures: 1, error: new ConnectError("no", code) });
      await expect(settled(clock, client.getRun({ runId }))).rejects.toMatchObject({ code });
      expect(calls).toHaveLength(1);
    },
  );

  it("does not repeat what ended a run, or what the server asks it not to", async () => {
    const ended = new ConnectError("over", Code.Unavailable, undefined, [{ desc: FailureSchema, value: { code: 14 } }]);
    const pushedBack = new ConnectError("no", Code.Unavailable, { "grpc-retry-pushback-ms": "-1" });
    for (const error of [ended, pushedBack]) {
      const { clock, calls, client } = setUp({ failures: 1, error });
      await expect(settled(clock, client.getRun({ runId }))).rejects.toMatchObject({ code: Code.Unavailable });
      expect(calls).toHaveLength(1);
    }
  });

  it.each([
    [
      "RetryInfo",
      new ConnectError("later", Code.Unavailable, undefined, [
        { desc: RetryInfoSchema, value: { retryDelay: { seconds: 5n } } },
      ]),
    ],
    ["pushback", new ConnectError("later", Code.Unavailable, { "grpc-retry-pushback-ms": "5000" })],
  ])("comes back when the server says, by %s", async (_, error) => {
    const { clock, calls, client } = setUp({ failures: 1, error });
    await settled(clock, client.getRun({ runId }));
    expect(calls.map(({ atMs }) => atMs)).toEqual([0, 5_000]);
  });

  it("throws the error once the next try would come too late", async () => {
    const { clock, calls, client } = setUp({ failures: 1_000, retryForMs: 10_000 });
    await expect(settled(clock, client.getRun({ runId }))).rejects.toMatchObject({ rawMessage: "away" });
    expect(calls.at(-1)?.atMs).toBeLessThanOrEqual(10_000);
    expect(calls.at(-1)?.atMs).toBeGreaterThan(3_000);
  });

  it("leaves each try the rest of the deadline, and tells what was wrong rather than that time is up", async () => {
    const { clock, calls, client } = setUp({ failures: 1_000 });
    await expect(settled(clock, client.getRun({ runId }, { timeoutMs: 2_000 }))).rejects.toMatchObject({
      code: Code.Unavailable,
    });
    expect(calls.length).toBeGreaterThan(2);
    for (const { atMs, timeoutMs } of calls) expect(timeoutMs).toBeCloseTo(2_000 - atMs, 3);
  });

  it("leaves no listener on the signals that it waits with", async () => {
    const { clock, client, closing } = setUp({ failures: 3 });
    const { signal } = new AbortController();
    await settled(clock, client.getRun({ runId }, { signal }));
    expect(getEventListeners(signal, "abort")).toEqual([]);
    expect(getEventListeners(closing.signal, "abort")).toEqual([]);
  });

  it("never repeats with retryForMs 0", async () => {
    const { clock, calls, client } = setUp({ failures: 1, retryForMs: 0 });
    await expect(settled(clock, client.getRun({ runId }))).rejects.toMatchObject({ code: Code.Unavailable });
    expect(calls).toHaveLength(1);
  });

  it("stops waiting when the call is aborted or the client is closed, and takes no calls after that", async () => {
    for (const which of ["call", "client"]) {
      const { clock, calls, client, closing } = setUp({ failures: 1_000 });
      const abort = new AbortController();
      const call = client.getRun({ runId }, { signal: abort.signal });
      call.catch(() => undefined);
      await clock.advance(0);
      (which === "call" ? abort : closing).abort(new ConnectError("enough", Code.Canceled));
      await expect(call).rejects.toMatchObject({ code: Code.Canceled, rawMessage: "enough" });
      expect(clock.pendingTimers).toBe(0);
      const after = calls.length;
      if (which === "client") {
        await expect(client.getRun({ runId })).rejects.toMatchObject({ rawMessage: "enough" });
        const watch = client.watchRun({ runId })[Symbol.asyncIterator]();
        await expect(watch.next()).rejects.toMatchObject({ rawMessage: "enough" });
      }
      expect(calls).toHaveLength(after);
    }
  });
});
