import { once } from "node:events";
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { Code, createClient, type Interceptor } from "@connectrpc/connect";
import { Client, connectivityState, credentials, Server } from "@grpc/grpc-js";
import { describe, expect, onTestFinished, test } from "vitest";
import { createVirtualClock } from "../../src/testing/virtual-clock.ts";
import {
  addConnectService,
  createGrpcTransport,
  type GrpcTransportOptions,
  listenGrpc,
} from "../../src/transport/index.ts";
import { TransportService } from "../gen/retake/test/v1/transport_pb.js";
import { aborted, failure, type TestImplementation } from "./transport-contract.ts";

async function serve(implementation: TestImplementation, port = 0) {
  const server = new Server({ "grpc.enable_channelz": 0 });
  addConnectService(server, TransportService, implementation);
  const listener = await listenGrpc(server, { host: "127.0.0.1", port });
  onTestFinished(() => listener.destroy());
  return listener;
}

async function connectTo(implementation: TestImplementation, options: Partial<GrpcTransportOptions> = {}) {
  const listener = await serve(implementation);
  const transport = createGrpcTransport({ target: `127.0.0.1:${listener.port}`, ...options });
  onTestFinished(() => transport.close());
  return { transport, listener, client: createClient(TransportService, transport) };
}

const retryConfig = JSON.stringify({
  methodConfig: [
    {
      name: [{ service: TransportService.typeName }],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: "0.05s",
        maxBackoff: "0.05s",
        backoffMultiplier: 1,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
});

describe("the channel", () => {
  test("tells its state, waits to be ready, and closes", async () => {
    const { transport, client } = await connectTo({ unary: () => ({}) });
    expect(transport.connectivityState()).toBe(connectivityState.IDLE);
    await transport.waitUntilReady(5000);
    expect(transport.connectivityState()).toBe(connectivityState.READY);
    transport.close();
    expect(transport.connectivityState()).toBe(connectivityState.SHUTDOWN);
    const unary = await failure(client.unary({}));
    expect([unary.code, unary.rawMessage]).toEqual([
      Code.Canceled,
      "cannot start the call: Channel has been shut down",
    ]);
    const stream = await failure(client.serverStream({})[Symbol.asyncIterator]().next());
    expect(stream.code).toBe(Code.Canceled);
  });

  test("that does not become ready in time says so", async () => {
    const listener = await serve({});
    await listener.close();
    const transport = createGrpcTransport({ target: `127.0.0.1:${listener.port}` });
    onTestFinished(() => transport.close());
    const error = await failure(transport.waitUntilReady(20));
    expect(error.code).toBe(Code.DeadlineExceeded);
    expect(error.rawMessage).toContain(`127.0.0.1:${listener.port} did not become ready within 20 ms`);
  });

  test("without a server fails calls with Unavailable, or waits for one when told to", async () => {
    const { port, close } = await serve({});
    await close();
    const hasty = createGrpcTransport({ target: `127.0.0.1:${port}` });
    const patient = createGrpcTransport({
      target: `127.0.0.1:${port}`,
      waitForReady: true,
      channelOptions: { "grpc.initial_reconnect_backoff_ms": 20, "grpc.use_local_subchannel_pool": 1 },
    });
    onTestFinished(() => {
      hasty.close();
      patient.close();
    });
    const waiting = createClient(TransportService, patient).unary({});
    expect((await failure(createClient(TransportService, hasty).unary({}))).code).toBe(Code.Unavailable);
    await serve({ unary: () => ({ text: "at last" }) }, port);
    expect((await waiting).text).toBe("at last");
  });

  test("may be that of a client which the caller has configured", async () => {
    const listener = await serve({ unary: (_, context) => ({ text: context.requestHeader.get("x-token") ?? "" }) });
    const target = new Client(`127.0.0.1:${listener.port}`, credentials.createInsecure());
    onTestFinished(() => target.close());
    const transport = createGrpcTransport({ target });
    expect(transport.client).toBe(target);
    expect((await createClient(TransportService, transport).unary({}, { headers: { "x-token": "t" } })).text).toBe("t");
  });

  test("takes grpc-js's options: message sizes", async () => {
    const { client } = await connectTo(
      { unary: (request) => ({ data: request.data }) },
      { channelOptions: { "grpc.max_receive_message_length": 1000, "grpc.max_send_message_length": 2000 } },
    );
    await client.unary({ data: new Uint8Array(900) });
    for (const size of [1500, 2500]) {
      expect((await failure(client.unary({ data: new Uint8Array(size) }))).code).toBe(Code.ResourceExhausted);
    }
  });
});

describe("retries by service config", () => {
  test("ride through a restart of the server in mid-call, for no headers have been sent", async () => {
    const started = Promise.withResolvers<void>();
    const first = await serve({
      unary: () => {
        started.resolve();
        return new Promise(() => undefined);
      },
    });
    const transport = createGrpcTransport({
      target: `127.0.0.1:${first.port}`,
      channelOptions: { "grpc.service_config": retryConfig, "grpc.initial_reconnect_backoff_ms": 20 },
    });
    onTestFinished(() => transport.close());
    const call = createClient(TransportService, transport).unary({ text: "again" });
    await started.promise;
    await first.destroy();
    await serve({ unary: (request) => ({ text: `${request.text}, by another` }) }, first.port);
    expect((await call).text).toBe("again, by another");
  });
});

describe("headers", () => {
  test.each([
    [{ "x-city": "Z\u00fcrich" }, 'header "x-city" holds characters that gRPC metadata cannot carry'],
    [{ "x-bytes-bin": "not base64!" }, 'header "x-bytes-bin" is not base64'],
    [{ "x!name": "v" }, 'header name "x!name" is not legal'],
  ])("that gRPC cannot carry are InvalidArgument: %j", async (headers, problem) => {
    const { client } = await connectTo({ unary: () => ({}) });
    for (const error of [
      await failure(client.unary({}, { headers })),
      await failure(client.serverStream({}, { headers })[Symbol.asyncIterator]().next()),
    ]) {
      expect(error.code).toBe(Code.InvalidArgument);
      expect(error.rawMessage).toContain(problem);
    }
  });

  test("that belong to HTTP are left out", async () => {
    const { client } = await connectTo({
      unary: (_, context) => {
        context.responseHeader.set("connection", "close");
        context.responseHeader.set("content-type", "text/plain");
        context.responseTrailer.set("grpc-status", "5");
        return { text: context.requestHeader.get("x-kept") ?? "" };
      },
    });
    const headers = { connection: "close", "transfer-encoding": "chunked", te: "gzip", "x-kept": "yes" };
    expect((await client.unary({}, { headers })).text).toBe("yes");
  });
});

describe("deadlines", () => {
  test("default to the transport's, and 0 means none", async () => {
    const { client } = await connectTo(
      { unary: (_, context) => ({ text: String(context.timeoutMs() !== undefined) }) },
      { defaultTimeoutMs: 60_000 },
    );
    expect((await client.unary({})).text).toBe("true");
    expect((await client.unary({}, { timeoutMs: 0 })).text).toBe("false");
  });

  test("are kept by the given clock, whatever the machine's shows", async () => {
    const clock = createVirtualClock();
    const started = Promise.withResolvers<void>();
    const reason = Promise.withResolvers<unknown>();
    const { client } = await connectTo(
      {
        unary: async (_, context) => {
          started.resolve();
          reason.resolve(await aborted(context.signal));
          return {};
        },
      },
      { clock },
    );
    const call = failure(client.unary({}, { timeoutMs: 3_600_000 }));
    await started.promise;
    await clock.advance(3_600_000);
    expect((await call).code).toBe(Code.DeadlineExceeded);
    expect(await reason.promise).toBeInstanceOf(Error);
    expect(clock.pendingTimers).toBe(0);
  });

  test("leave no timer behind when a call ends before", async () => {
    const clock = createVirtualClock();
    const { client } = await connectTo(
      {
        unary: () => ({}),
        async *serverStream() {
          yield {};
        },
      },
      { clock },
    );
    await client.unary({}, { timeoutMs: 1000 });
    for await (const _ of client.serverStream({}, { timeoutMs: 1000 })) {
      // Read to the end.
    }
    expect(clock.pendingTimers).toBe(0);
  });

  test("also hold while an interceptor has not yet made the call", async () => {
    const clock = createVirtualClock();
    const { client } = await connectTo(
      { unary: () => ({}) },
      {
        clock,
        interceptors: [
          (next) => async (request) => {
            await aborted(request.signal);
            return await next(request);
          },
        ],
      },
    );
    const call = failure(client.unary({}, { timeoutMs: 1000 }));
    await clock.advance(1000);
    expect((await call).code).toBe(Code.DeadlineExceeded);
  });
});

describe("streams", () => {
  test("that a server ends with trailers alone have no message and an empty header", async () => {
    const server = createServer();
    server.on("stream", (stream: ServerHttp2Stream) => {
      stream.respond(
        { ":status": 200, "content-type": "application/grpc", "grpc-status": "0", "x-trailer": "t" },
        { endStream: true },
      );
    });
    const sessions = new Set<ServerHttp2Session>();
    server.on("session", (session) => sessions.add(session));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const transport = createGrpcTransport({ target: `127.0.0.1:${(server.address() as AddressInfo).port}` });
    onTestFinished(() => {
      transport.close();
      for (const session of sessions) {
        session.destroy();
      }
      server.close();
    });
    const response = await transport.stream(
      TransportService.method.serverStream,
      undefined,
      undefined,
      undefined,
      (async function* () {
        yield {};
      })(),
    );
    expect(await response.message[Symbol.asyncIterator]().next()).toMatchObject({ done: true });
    expect([[...response.header], response.trailer.get("x-trailer")]).toEqual([[], "t"]);
  });

  const ownSignal: Interceptor = (next) => (request) =>
    next({ ...request, signal: new AbortController().signal } as typeof request);

  test.each([
    ["", []],
    [", whatever signal an interceptor has given them", [ownSignal]],
  ])("that are left early are cancelled%s", async (_, interceptors) => {
    const cleaned = Promise.withResolvers<void>();
    const { transport } = await connectTo(
      {
        async *serverStream() {
          try {
            for (let index = 0; ; index++) {
              yield { index, data: new Uint8Array(50_000) };
            }
          } finally {
            cleaned.resolve();
          }
        },
      },
      { interceptors },
    );
    const response = await transport.stream(
      TransportService.method.serverStream,
      undefined,
      undefined,
      undefined,
      (async function* () {
        yield {};
      })(),
    );
    for await (const message of response.message) {
      expect(message.index).toBe(0);
      break;
    }
    await cleaned.promise;
  });

  test("whose signal an interceptor replaces end with that signal's reason", async () => {
    const own = new AbortController();
    const { client } = await connectTo(
      {
        async *serverStream(_, context) {
          yield {};
          await aborted(context.signal);
        },
      },
      { interceptors: [(next) => (request) => next({ ...request, signal: own.signal } as typeof request)] },
    );
    const error = await failure(
      (async () => {
        for await (const _ of client.serverStream({})) {
          own.abort(new Error("stalled"));
        }
      })(),
    );
    expect([error.code, error.rawMessage]).toEqual([Code.Canceled, "stalled"]);
  });
});
