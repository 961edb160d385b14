import { fork } from "node:child_process";
import { once } from "node:events";
import * as http2 from "node:http2";
import { deflateSync, gzipSync } from "node:zlib";
import { createFileRegistry, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import {
  Client,
  compressionAlgorithms,
  credentials,
  logVerbosity,
  Metadata,
  Server,
  ServerInterceptingCall,
  type ServiceError,
  setLogVerbosity,
  status,
} from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import {
  addConnectService,
  createGrpcTransport,
  flushHeadersKey,
  type GrpcHandlerOptions,
  listenGrpc,
} from "../../src/transport/index.ts";
import {
  file_retake_test_v1_transport,
  TransportErrorDetailSchema,
  TransportService,
  UnaryRequestSchema,
  UnaryResponseSchema,
} from "../gen/retake/test/v1/transport_pb.js";
import { RawHttp2Connection } from "./raw-http2.ts";
import { aborted, failure, type TestImplementation } from "./transport-contract.ts";

const unaryPath = "/retake.test.v1.TransportService/Unary";
const streamPath = "/retake.test.v1.TransportService/ServerStream";

async function serve(implementation: TestImplementation, options: GrpcHandlerOptions = {}, serverOptions = {}) {
  const server = new Server({ "grpc.enable_channelz": 0, ...serverOptions });
  addConnectService(server, TransportService, implementation, options);
  const listener = await listenGrpc(server, { host: "127.0.0.1", port: 0 });
  onTestFinished(() => listener.destroy());
  return { server, port: listener.port };
}

async function serveAndCall(implementation: TestImplementation, options: GrpcHandlerOptions = {}, channelOptions = {}) {
  const { port, server } = await serve(implementation, options);
  const transport = createGrpcTransport({ target: `127.0.0.1:${port}`, channelOptions });
  onTestFinished(() => transport.close());
  return { client: createClient(TransportService, transport), port, server };
}

interface RawAnswer {
  /** Each block of headers in the order of arrival, the first with whether it ended the stream. */
  readonly blocks: http2.IncomingHttpHeaders[];
  readonly trailersOnly: boolean;
}

function message(bytes: Uint8Array, compressed = false): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed ? 1 : 0);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** A call by plain HTTP/2, to see what is on the wire. */
async function callRaw(
  port: number,
  path: string,
  body: Buffer,
  headers: http2.OutgoingHttpHeaders = {},
): Promise<RawAnswer> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  try {
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      te: "trailers",
      "content-type": "application/grpc",
      ...headers,
    });
    const blocks: http2.IncomingHttpHeaders[] = [];
    let trailersOnly = false;
    stream.on("response", (block, flags) => {
      blocks.push(block);
      trailersOnly = (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    });
    stream.on("trailers", (block) => blocks.push(block));
    stream.resume();
    stream.end(body);
    await once(stream, "close");
    return { blocks, trailersOnly };
  } finally {
    session.close();
  }
}

/** The same, with a body that comes in pieces. */
async function callInPieces(port: number, path: string, pieces: readonly Uint8Array[]): Promise<string | undefined> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  try {
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      te: "trailers",
      "content-type": "application/grpc",
    });
    let answer: unknown;
    stream.on("response", (block) => {
      answer ??= block["grpc-status"];
    });
    stream.on("trailers", (block) => {
      answer ??= block["grpc-status"];
    });
    stream.resume();
    for (const piece of pieces) {
      await new Promise((resolve) => stream.write(piece, resolve));
    }
    stream.end();
    await once(stream, "close");
    return answer === undefined ? undefined : String(answer);
  } finally {
    session.close();
  }
}

async function drain(messages: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of messages) {
    count++;
  }
  return count;
}

const unhandled = vi.fn();
beforeEach(() => {
  unhandled.mockReset();
  process.on("unhandledRejection", unhandled);
  process.on("uncaughtException", unhandled);
});
afterEach(async () => {
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", unhandled);
  process.off("uncaughtException", unhandled);
  expect(unhandled).not.toHaveBeenCalled();
});

describe("never awaiting drain alone", () => {
  test("every generator that waits for a reader ends when its caller cancels", async () => {
    let open = 0;
    const allOpen = Promise.withResolvers<void>();
    const allEnded = Promise.withResolvers<void>();
    const { client } = await serveAndCall({
      async *serverStream() {
        if (++open === 200) {
          allOpen.resolve();
        }
        try {
          for (;;) {
            yield { data: new Uint8Array(30_000) };
          }
        } finally {
          if (--open === 0) {
            allEnded.resolve();
          }
        }
      },
    });
    const controller = new AbortController();
    const calls = Array.from({ length: 200 }, async () => {
      const responses = client.serverStream({}, { signal: controller.signal })[Symbol.asyncIterator]();
      // Reads once at most, and never again.
      await responses.next().catch(() => undefined);
    });
    await allOpen.promise;
    controller.abort();
    await Promise.all(calls);
    await allEnded.promise;
  });
});

describe("an implementation's own iterator", () => {
  test("is told by return() that the caller has gone, while it has nothing to yield", async () => {
    const waiting = Promise.withResolvers<void>();
    const returned = Promise.withResolvers<void>();
    const { client } = await serveAndCall({
      serverStream: () => ({
        [Symbol.asyncIterator]: () => ({
          next: () => {
            waiting.resolve();
            return new Promise(() => undefined);
          },
          return: async () => {
            returned.resolve();
            return { done: true, value: undefined };
          },
        }),
      }),
    });
    const controller = new AbortController();
    const call = failure(drain(client.serverStream({}, { signal: controller.signal })));
    await waiting.promise;
    controller.abort();
    expect((await call).code).toBe(Code.Canceled);
    await returned.promise;
  });
});

describe("abandoned streams", () => {
  interface State {
    readonly open: number;
    readonly produced: number;
    readonly connections: number;
    readonly cpuMs: number;
    readonly rssBytes: number;
  }

  async function startGenerator() {
    const child = fork(new URL("./generating-server.ts", import.meta.url));
    onTestFinished(() => void child.kill());
    const [{ port }] = (await once(child, "message")) as [{ port: number }];
    const readState = async (): Promise<State> => {
      child.send("state");
      return ((await once(child, "message")) as [State])[0];
    };
    const until = async (reached: (state: State) => boolean): Promise<State> => {
      for (;;) {
        const state = await readState();
        if (reached(state)) {
          return state;
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    /** Resolves when the server neither produces nor spends more than a tenth of a core; never, when it spins. */
    const idle = async (): Promise<State> => {
      for (;;) {
        const [before, beganMs] = [await readState(), performance.now()];
        await new Promise((resolve) => setTimeout(resolve, 200));
        const [after, elapsedMs] = [await readState(), performance.now() - beganMs];
        if (after.produced === before.produced && after.cpuMs - before.cpuMs < elapsedMs / 10) {
          return after;
        }
      }
    };
    return { port, readState, until, idle };
  }

  // Readers that never read: HTTP/2's own windows stop the server, or TCP's when those are as wide as can be.
  test.each([
    ["the windows of HTTP/2", 1],
    ["the buffers of TCP", 2 ** 31 - 1],
  ])("that %s hold back cost bounded memory and no CPU, then nothing when they are gone", async (_, windowBytes) => {
    const { port, readState, until, idle } = await startGenerator();
    const before = await readState();
    const connections: RawHttp2Connection[] = [];
    for (let i = 0; i < 10; i++) {
      const connection = await RawHttp2Connection.open(port, windowBytes);
      connection.socket.pause();
      for (let stream = 0; stream < 20; stream++) {
        connection.call(streamPath);
      }
      connections.push(connection);
    }
    await until((state) => state.open === 200);
    const stalled = await idle();
    // A message or two for each stream, beside what the sockets hold.
    expect(stalled.rssBytes - before.rssBytes).toBeLessThan(250_000_000);

    for (const connection of connections) {
      connection.socket.resetAndDestroy();
    }
    await until((state) => state.open === 0 && state.connections === 0);
    await idle();
    // Not deaf.
    const transport = createGrpcTransport({ target: `127.0.0.1:${port}` });
    onTestFinished(() => transport.close());
    await createClient(TransportService, transport).unary({}, { timeoutMs: 5000 });
  });
});

describe("errors on the wire", () => {
  test("an error without prior headers is trailers-only, so that clients may retry", async () => {
    const { port } = await serve({
      unary: (_, context) => {
        context.responseHeader.set("x-header", "h");
        throw new ConnectError("later", Code.Unavailable);
      },
      // biome-ignore lint/correctness/useYield: it fails before it yields.
      async *serverStream() {
        throw new ConnectError("later", Code.Unavailable);
      },
    });
    for (const path of [unaryPath, streamPath]) {
      const { blocks, trailersOnly } = await callRaw(port, path, message(Buffer.alloc(0)));
      expect(trailersOnly).toBe(true);
      expect(blocks).toHaveLength(1);
      expect(blocks[0]?.["grpc-status"]).toBe("14");
    }
  });

  test("unary headers leave with the response, not before", async () => {
    const answer = Promise.withResolvers<void>();
    const { port } = await serve({
      unary: async (_, context) => {
        context.responseHeader.set("x-header", "h");
        context.values.get(flushHeadersKey)();
        await answer.promise;
        return {};
      },
    });
    const session = http2.connect(`http://127.0.0.1:${port}`);
    onTestFinished(() => session.close());
    const stream = session.request({
      ":method": "POST",
      ":path": unaryPath,
      te: "trailers",
      "content-type": "application/grpc",
    });
    let headersBeforeAnswer = false;
    stream.on("response", () => {
      headersBeforeAnswer = !answered;
    });
    let answered = false;
    stream.resume();
    stream.end(message(Buffer.alloc(0)));
    // A ping there and back: had the server sent headers before, they would be here.
    await new Promise((resolve) => session.ping(resolve));
    await new Promise((resolve) => session.ping(resolve));
    answered = true;
    answer.resolve();
    await once(stream, "close");
    expect(headersBeforeAnswer).toBe(false);
  });

  test("a retry service config retries a failed unary call", async () => {
    let calls = 0;
    const serviceConfig = {
      methodConfig: [
        {
          name: [{}],
          retryPolicy: {
            maxAttempts: 4,
            initialBackoff: "0.01s",
            maxBackoff: "0.02s",
            backoffMultiplier: 1,
            retryableStatusCodes: ["UNAVAILABLE"],
          },
        },
      ],
    };
    const { client } = await serveAndCall(
      {
        unary: (_, context) => {
          context.responseHeader.set("x-run-id", "1");
          if (++calls < 3) {
            throw new ConnectError("later", Code.Unavailable);
          }
          return { text: "done" };
        },
      },
      {},
      { "grpc.service_config": JSON.stringify(serviceConfig) },
    );
    expect((await client.unary({})).text).toBe("done");
    expect(calls).toBe(3);
  });

  test("grpc-status-details-bin holds code and message too, because Connect takes them from it", async () => {
    const { port } = await serve({
      unary: () => {
        throw new ConnectError("half \ud83d", Code.NotFound, undefined, [
          { desc: TransportErrorDetailSchema, value: { reason: "r" } },
        ]);
      },
    });
    const { blocks } = await callRaw(port, unaryPath, message(Buffer.alloc(0)));
    const encoded = Buffer.from(String(blocks[0]?.["grpc-status-details-bin"]), "base64");
    // google.rpc.Status: code = 1 (varint 5), message = 2.
    expect([encoded[0], encoded[1], encoded[2]]).toEqual([8, Code.NotFound, 18]);
    expect(encoded.toString()).toContain("half \ufffd");
    expect(blocks[0]?.["grpc-message"]).toBe(encodeURI("half \ufffd"));
  });

  test("an error too large for metadata arrives with its code, and as much as fits", async () => {
    const { client } = await serveAndCall(
      {
        unary: ({ text }) => {
          throw new ConnectError(text === "message" ? "é".repeat(100_000) : "short", Code.Aborted, undefined, [
            { desc: TransportErrorDetailSchema, value: { reason: "x".repeat(100_000) } },
          ]);
        },
      },
      { metadataMaxBytes: 4000 },
    );
    const long = await failure(client.unary({ text: "message" }));
    expect(long.code).toBe(Code.Aborted);
    expect(long.rawMessage).toMatch(/^é{100,}… \(shortened\)$/);
    const detailed = await failure(client.unary({ text: "details" }));
    expect([detailed.code, detailed.rawMessage, detailed.details]).toEqual([Code.Aborted, "short", []]);
  });

  test("a relayed error keeps its details and sheds the other server's metadata", async () => {
    const { client: backend } = await serveAndCall({
      unary: () => {
        throw new ConnectError("deep", Code.NotFound, { "x-internal": "secret" }, [
          { desc: TransportErrorDetailSchema, value: { reason: "r" } },
        ]);
      },
    });
    const { client } = await serveAndCall({ unary: (request) => backend.unary(request) });
    const error = await failure(client.unary({}));
    expect([error.code, error.rawMessage]).toEqual([Code.NotFound, "deep"]);
    expect(error.findDetails(TransportErrorDetailSchema)[0]?.reason).toBe("r");
    expect(error.metadata.get("x-internal")).toBeNull();
  });
});

describe("what comes from a caller", () => {
  const garbage = message(Buffer.from([255, 255, 255]));

  test("an undecodable request is InvalidArgument, within the interceptors' sight", async () => {
    const seen: unknown[] = [];
    const watch: Interceptor = (next) => async (request) => {
      try {
        const response = await next(request);
        if (response.stream) {
          const { message: messages } = response;
          return {
            ...response,
            message: (async function* () {
              try {
                yield* messages;
              } catch (error) {
                seen.push(error);
                throw error;
              }
            })(),
          };
        }
        return response;
      } catch (error) {
        seen.push(error);
        throw error;
      }
    };
    const { port } = await serve(
      {
        unary: () => ({}),
        async *serverStream() {
          yield {};
        },
        clientStream: async (requests) => ({ count: await drain(requests) }),
        async *bidi(requests) {
          await drain(requests);
          yield {};
        },
      },
      { interceptors: [watch] },
    );
    for (const method of ["Unary", "ServerStream", "ClientStream", "Bidi"]) {
      const { blocks } = await callRaw(port, `/retake.test.v1.TransportService/${method}`, garbage);
      expect(blocks[0]?.["grpc-status"]).toBe(String(status.INVALID_ARGUMENT));
      expect(blocks[0]?.["grpc-message"]).toContain(`request%20of%20retake.test.v1.TransportService/${method}`);
    }
    expect(seen).toHaveLength(4);
  });

  test("invalid UTF-8 in a string is InvalidArgument", async () => {
    const { port } = await serve({ unary: () => ({}) });
    const { blocks } = await callRaw(port, unaryPath, message(Buffer.from([10, 1, 0xff])));
    expect(blocks[0]?.["grpc-status"]).toBe(String(status.INVALID_ARGUMENT));
  });

  test("a malformed grpc-timeout stays Internal, written beneath the interceptors", async () => {
    const { port } = await serve({ unary: () => ({}) });
    const { blocks } = await callRaw(port, unaryPath, message(Buffer.alloc(0)), { "grpc-timeout": "soon" });
    expect(blocks.at(-1)?.["grpc-status"]).toBe(String(status.INTERNAL));
  });

  test("corrupt gzip stays Internal, written beneath the interceptors", async () => {
    const { port } = await serve({ unary: () => ({}) });
    const { blocks } = await callRaw(port, unaryPath, message(Buffer.from("not gzip"), true), {
      "grpc-encoding": "gzip",
    });
    expect(blocks.at(-1)?.["grpc-status"]).toBe(String(status.INTERNAL));
  });

  test("an unknown path is Unimplemented, however odd", async () => {
    const { port } = await serve({ unary: () => ({}) });
    for (const path of ["/nowhere", "/a/b", "/\u00e4/%00", `/${"x".repeat(5000)}`]) {
      const { blocks } = await callRaw(port, path, message(Buffer.alloc(0)));
      expect(blocks[0]?.["grpc-status"]).toBe(String(status.UNIMPLEMENTED));
    }
  });

  test.each([
    ["gzip", gzipSync, compressionAlgorithms.gzip],
    ["deflate", deflateSync, compressionAlgorithms.deflate],
  ])("%s is accepted", async (name, compress, algorithm) => {
    const { port, client } = await serveAndCall(
      { unary: (request) => ({ text: request.text }) },
      {},
      { "grpc.default_compression_algorithm": algorithm },
    );
    const text = "again and ".repeat(1000);
    expect((await client.unary({ text })).text).toBe(text);
    const body = message(
      compress(
        toBinary(UnaryRequestSchema, { $typeName: "retake.test.v1.UnaryRequest", text, data: new Uint8Array() }),
      ),
      true,
    );
    const { blocks } = await callRaw(port, unaryPath, body, { "grpc-encoding": name });
    expect(blocks.at(-1)?.["grpc-status"]).toBe("0");
  });

  test("an encoding that nobody knows is Unimplemented", async () => {
    const { port } = await serve({ unary: () => ({}) });
    const { blocks } = await callRaw(port, unaryPath, message(Buffer.from("x"), true), { "grpc-encoding": "snappy" });
    expect(blocks.at(-1)?.["grpc-status"]).toBe(String(status.UNIMPLEMENTED));
  });

  test("metadata that no Headers could hold is dropped, not fatal", async () => {
    // grpc-js logs what it drops.
    setLogVerbosity(logVerbosity.NONE);
    onTestFinished(() => setLogVerbosity(logVerbosity.ERROR));
    const { port } = await serve({ unary: (_, context) => ({ text: [...context.requestHeader.keys()].join() }) });
    const connection = await RawHttp2Connection.open(port, 65_535);
    connection.call(unaryPath, { "x-latin": "Z\u00fcrich", ["__proto__"]: "p", "x-odd-bin": "***", "x-ok": "1" });
    const [data] = await once(connection.socket, "data");
    expect(data.length).toBeGreaterThan(0);
    connection.socket.destroy();
    // Still serving.
    const { blocks } = await callRaw(port, unaryPath, message(Buffer.alloc(0)));
    expect(blocks.at(-1)?.["grpc-status"]).toBe("0");
  });
});

describe("the body of a unary call", () => {
  const request = message(
    toBinary(UnaryRequestSchema, {
      $typeName: "retake.test.v1.UnaryRequest",
      text: "in pieces",
      data: new Uint8Array(300).map((_, index) => index),
    }),
  );

  test.each([1, 3, 5, 7, 100])("may come in pieces of %d bytes", async (size) => {
    const seen: unknown[] = [];
    const { port } = await serve({
      unary: ({ text, data }) => {
        seen.push([text, data.length, data.every((byte, index) => byte === index % 256)]);
        return {};
      },
    });
    const pieces = Array.from({ length: Math.ceil(request.length / size) }, (_, index) =>
      request.subarray(index * size, (index + 1) * size),
    );
    expect(await callInPieces(port, unaryPath, pieces)).toBe("0");
    expect(seen).toEqual([["in pieces", 300, true]]);
  });

  test.each([
    ["nothing", []],
    ["less than a prefix", [request.subarray(0, 3)]],
    ["half a message", [request.subarray(0, 100)]],
    ["two messages at once", [Buffer.concat([request, request])]],
    ["two messages, one after the other", [request, request]],
  ])("is Unimplemented when it is %s", async (_, pieces) => {
    const unary = vi.fn(() => ({}));
    const { port } = await serve({ unary });
    expect(await callInPieces(port, unaryPath, pieces)).toBe(String(status.UNIMPLEMENTED));
    expect(unary).not.toHaveBeenCalled();
  });

  test("is refused by its prefix when it is too large, and the connection goes on", async () => {
    const { port } = await serve({ unary: () => ({}) }, {}, { "grpc.max_receive_message_length": 1000 });
    const session = http2.connect(`http://127.0.0.1:${port}`);
    onTestFinished(() => session.destroy());
    const call = (body: Buffer) => {
      const stream = session.request({ ":method": "POST", ":path": unaryPath, "content-type": "application/grpc" });
      stream.resume();
      stream.write(body);
      return stream;
    };
    const large = call(message(Buffer.alloc(200_000)).subarray(0, 100_000));
    const [refusal] = await once(large, "response");
    expect(refusal["grpc-status"]).toBe(String(status.RESOURCE_EXHAUSTED));
    large.end(Buffer.alloc(100_005));
    const small = call(message(new Uint8Array()));
    small.end();
    const [trailers] = await once(small, "trailers");
    expect(trailers["grpc-status"]).toBe("0");
  });
});

describe("servers that do more than serve", () => {
  test.each([
    ["a plain server", {}, {}, false],
    ["a plain server, for a call that is compressed", {}, { "grpc-encoding": "gzip" }, true],
    ["a server that limits what it sends", { "grpc.max_send_message_length": 1000 }, {}, true],
  ])("leave unary calls to grpc-js, which dates its answers: %s", async (_, serverOptions, headers, isDated) => {
    const { port } = await serve({ unary: () => ({}) }, {}, serverOptions);
    const { blocks } = await callRaw(port, unaryPath, message(new Uint8Array()), headers);
    expect(blocks.at(-1)?.["grpc-status"]).toBe("0");
    expect(blocks[0]?.date !== undefined).toBe(isDated);
  });

  test("see unary calls in their own interceptors", async () => {
    const seen: string[] = [];
    const { port } = await serve(
      { unary: () => ({}) },
      {},
      {
        interceptors: [
          (method: { path: string }, call: ConstructorParameters<typeof ServerInterceptingCall>[0]) => {
            seen.push(method.path);
            return new ServerInterceptingCall(call);
          },
        ],
      },
    );
    const { blocks } = await callRaw(port, unaryPath, message(new Uint8Array()));
    expect(blocks.at(-1)?.["grpc-status"]).toBe("0");
    expect(seen).toEqual([unaryPath]);
  });

  test("count unary calls for channelz", async () => {
    const { server, port } = await serve({ unary: () => ({}) }, {}, { "grpc.enable_channelz": 1 });
    await callRaw(port, unaryPath, message(new Uint8Array()));
    expect(server["callTracker"].callsSucceeded).toBe(1);
  });

  test("take a connection with a unary call for busy", async () => {
    const { port } = await serve(
      { unary: () => new Promise((resolve) => setTimeout(() => resolve({}), 150)) },
      {},
      { "grpc.max_connection_idle_ms": 50 },
    );
    const session = http2.connect(`http://127.0.0.1:${port}`);
    onTestFinished(() => session.destroy());
    const events: string[] = [];
    session.on("goaway", () => events.push("goaway"));
    const stream = session.request({ ":method": "POST", ":path": unaryPath, "content-type": "application/grpc" });
    stream.on("trailers", () => events.push("answer"));
    stream.resume();
    stream.end(message(new Uint8Array()));
    await once(session, "close");
    expect(events[0]).toBe("answer");
    expect(events).toContain("goaway");
  });
});

describe("limits", () => {
  test("a request above readMaxBytes is ResourceExhausted, in a stream too", async () => {
    const { client } = await serveAndCall(
      { unary: () => ({}), clientStream: async (requests) => ({ count: await drain(requests) }) },
      { readMaxBytes: 1000 },
    );
    await client.unary({ data: new Uint8Array(900) });
    const error = await failure(client.unary({ data: new Uint8Array(1001) }));
    expect(error.code).toBe(Code.ResourceExhausted);
    expect(error.rawMessage).toBe(
      "the request of retake.test.v1.TransportService/Unary has 1004 bytes, more than the limit of 1000",
    );
    const streamed = await failure(
      client.clientStream(
        (async function* () {
          yield { data: new Uint8Array(10) };
          yield { data: new Uint8Array(1001) };
        })(),
      ),
    );
    expect(streamed.code).toBe(Code.ResourceExhausted);
  });

  test("a request above the server's own limit is ResourceExhausted, compressed or not", async () => {
    const { port } = await serve({ unary: () => ({}) }, {}, { "grpc.max_receive_message_length": 10_000 });
    for (const [body, headers] of [
      [message(Buffer.alloc(20_000)), {}],
      [message(gzipSync(Buffer.alloc(1_000_000)), true), { "grpc-encoding": "gzip" }],
    ] as const) {
      const { blocks } = await callRaw(port, unaryPath, body, headers);
      expect(blocks.at(-1)?.["grpc-status"]).toBe(String(status.RESOURCE_EXHAUSTED));
    }
  });

  test("a response above writeMaxBytes is ResourceExhausted, after those before it", async () => {
    const { client } = await serveAndCall(
      {
        unary: () => ({ data: new Uint8Array(1001) }),
        async *serverStream() {
          yield {};
          yield { data: new Uint8Array(1001) };
        },
      },
      { writeMaxBytes: 1000 },
    );
    expect((await failure(client.unary({}))).code).toBe(Code.ResourceExhausted);
    let received = 0;
    const error = await failure(
      (async () => {
        for await (const _ of client.serverStream({})) {
          received++;
        }
      })(),
    );
    expect([received, error.code]).toEqual([1, Code.ResourceExhausted]);
  });

  test("the server's own limit on responses ends a stream, and its generator", async () => {
    const cleaned = Promise.withResolvers<void>();
    const { port } = await serve(
      {
        async *serverStream() {
          try {
            for (;;) {
              yield { data: new Uint8Array(50_000) };
            }
          } finally {
            cleaned.resolve();
          }
        },
      },
      {},
      { "grpc.max_send_message_length": 10_000 },
    );
    const { blocks } = await callRaw(port, streamPath, message(Buffer.alloc(0)));
    expect(blocks.at(-1)?.["grpc-status"]).toBe(String(status.RESOURCE_EXHAUSTED));
    await cleaned.promise;
  });

  test("metadata is counted in bytes, because grpc-js only advertises its limit", async () => {
    let called = 0;
    const { client } = await serveAndCall({
      unary: () => {
        called++;
        return {};
      },
    });
    await client.unary({}, { headers: { "x-large": "x".repeat(15_000) } });
    for (const headers of [
      { "x-large": "x".repeat(17_000) },
      { "x-large-bin": "AAAA".repeat(4500) },
      Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`x-${i}`, "x".repeat(140)])),
    ]) {
      const error = await failure(client.unary({}, { headers }));
      expect(error.code).toBe(Code.ResourceExhausted);
      expect(error.rawMessage).toMatch(/^the request metadata has \d+ bytes, more than the limit of 16384$/);
    }
    expect(called).toBe(1);
  });

  test("response metadata above the limit is ResourceExhausted, before clients choke on it", async () => {
    const { client } = await serveAndCall({
      unary: (_, context) => {
        context.responseHeader.set("x-large", "x".repeat(17_000));
        return {};
      },
      async *serverStream(_, context) {
        yield {};
        context.responseTrailer.set("x-large", "x".repeat(17_000));
      },
    });
    const error = await failure(client.unary({}));
    expect(error.code).toBe(Code.ResourceExhausted);
    expect((await failure(drain(client.serverStream({})))).code).toBe(Code.ResourceExhausted);
  });
});

describe("deadlines", () => {
  test("at the deadline the caller is answered, and what the implementation does later harms nothing", async () => {
    const finished = Promise.withResolvers<void>();
    const { client } = await serveAndCall({
      unary: async (_, context) => {
        await aborted(context.signal);
        queueMicrotask(finished.resolve);
        throw new Error("too late");
      },
    });
    const error = await failure(client.unary({}, { timeoutMs: 50 }));
    await finished.promise;
    expect([error.code, error.details]).toEqual([Code.DeadlineExceeded, []]);
  });

  test.each(["Unary", "ServerStream"])(
    "a %s call whose caller waits on ends by the server's own clock, and its implementation knows why",
    async (method) => {
      const reasons: unknown[] = [];
      const { port } = await serve({
        unary: async (_, context) => {
          reasons.push(await aborted(context.signal));
          return {};
        },
        async *serverStream(_, context) {
          reasons.push(await aborted(context.signal));
          yield {};
        },
      });
      const path = `/retake.test.v1.TransportService/${method}`;
      const { blocks } = await callRaw(port, path, message(Buffer.alloc(0)), { "grpc-timeout": "250m" });
      expect(blocks.at(-1)?.["grpc-status"]).toBe(String(status.DEADLINE_EXCEEDED));
      expect(reasons.map((reason) => ConnectError.from(reason, Code.Unknown).code)).toEqual([Code.DeadlineExceeded]);
    },
  );

  test.each(["600H", "99999999H", "40000M", "3000000S"])(
    "a grpc-timeout of %s does not expire at once",
    async (timeout) => {
      let timeoutMs: number | undefined;
      const { port } = await serve({
        unary: async (_, context) => {
          const { signal } = context;
          timeoutMs = context.timeoutMs();
          // An overflowing timer fires after one millisecond.
          await new Promise((resolve) => setTimeout(resolve, 10));
          signal.throwIfAborted();
          return {};
        },
      });
      const { blocks } = await callRaw(port, unaryPath, message(Buffer.alloc(0)), { "grpc-timeout": timeout });
      expect(blocks.at(-1)?.["grpc-status"]).toBe("0");
      const unitMs = { H: 3_600_000, M: 60_000, S: 1000 }[timeout.at(-1) ?? ""] ?? Number.NaN;
      const expected = Number.parseInt(timeout, 10) * unitMs;
      expect(timeoutMs).toBeGreaterThan(expected - 2000);
      expect(timeoutMs).toBeLessThanOrEqual(expected);
    },
  );
});

describe("services", () => {
  test("come and go while the server runs", async () => {
    const server = new Server({ "grpc.enable_channelz": 0 });
    const listener = await listenGrpc(server, { host: "127.0.0.1", port: 0 });
    onTestFinished(() => listener.destroy());
    const transport = createGrpcTransport({ target: `127.0.0.1:${listener.port}` });
    onTestFinished(() => transport.close());
    const client = createClient(TransportService, transport);
    expect((await failure(client.unary({}))).code).toBe(Code.Unimplemented);
    const remove = addConnectService(server, TransportService, { unary: () => ({ text: "here" }) });
    expect((await client.unary({})).text).toBe("here");
    remove();
    expect((await failure(client.unary({}))).code).toBe(Code.Unimplemented);
  });

  test("may be known by their descriptors alone", async () => {
    const { proto } = file_retake_test_v1_transport;
    const set = fromBinary(
      FileDescriptorSetSchema,
      toBinary(FileDescriptorSetSchema, { $typeName: "google.protobuf.FileDescriptorSet", file: [proto] }),
    );
    const service = createFileRegistry(set).getService(TransportService.typeName) as DescService;
    const server = new Server({ "grpc.enable_channelz": 0 });
    const unary = (request: { text: string }) => ({ text: `dynamic ${request.text}` });
    addConnectService(server, service, { unary } as never);
    const listener = await listenGrpc(server, { host: "127.0.0.1", port: 0 });
    onTestFinished(() => listener.destroy());
    const transport = createGrpcTransport({ target: `127.0.0.1:${listener.port}` });
    onTestFinished(() => transport.close());
    expect((await createClient(TransportService, transport).unary({ text: "call" })).text).toBe("dynamic call");
  });

  test("answer Unimplemented for a method that they lack, within the interceptors", async () => {
    const seen: string[] = [];
    const watch: Interceptor = (next) => (request) => {
      seen.push(request.method.name);
      return next(request);
    };
    const { client } = await serveAndCall({}, { interceptors: [watch] });
    expect((await failure(client.unary({}))).code).toBe(Code.Unimplemented);
    expect(seen).toEqual(["Unary"]);
  });

  test("serve a plain grpc-js client", async () => {
    const { port } = await serve({
      unary: (request, context) => {
        context.responseTrailer.set("x-trailer", "t");
        return { text: `${request.text} ${context.requestHeader.get("x-many")}` };
      },
    });
    const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    onTestFinished(() => client.close());
    const metadata = new Metadata();
    metadata.add("x-many", "1");
    metadata.add("x-many", "2");
    const text = await new Promise<string>((resolve, reject) => {
      client.makeUnaryRequest(
        unaryPath,
        (value: Uint8Array) => Buffer.from(value),
        (bytes) => fromBinary(UnaryResponseSchema, bytes),
        toBinary(UnaryRequestSchema, {
          $typeName: "retake.test.v1.UnaryRequest",
          text: "hello",
          data: new Uint8Array(),
        }),
        metadata,
        (error: ServiceError | null, value) => (error === null ? resolve(value?.text ?? "") : reject(error)),
      );
    });
    expect(text).toBe("hello 1, 2");
  });
});

describe("laziness", () => {
  test("a spread request keeps header, signal and context values, which prototype getters would lose", async () => {
    const kept: boolean[] = [];
    const spread: Interceptor = (next) => async (request) => {
      const copy = { ...request } as typeof request;
      kept.push(copy.header instanceof Headers, copy.signal instanceof AbortSignal, copy.contextValues !== undefined);
      return await next(copy);
    };
    const { client } = await serveAndCall(
      { unary: (_, context) => ({ text: context.requestHeader.get("x-a") ?? "" }) },
      { interceptors: [spread] },
    );
    expect((await client.unary({}, { headers: { "x-a": "b" } })).text).toBe("b");
    expect(kept).toEqual([true, true, true]);
  });

  test("an implementation that asks for its signal only after the caller has gone gets an aborted one", async () => {
    const gone = Promise.withResolvers<void>();
    const reason = Promise.withResolvers<unknown>();
    const started = Promise.withResolvers<void>();
    const { client } = await serveAndCall({
      unary: async (_, context) => {
        started.resolve();
        await gone.promise;
        reason.resolve(context.signal.reason);
        return {};
      },
      // biome-ignore lint/correctness/useYield: it only tells that the other call's cancellation has arrived.
      async *serverStream() {
        gone.resolve();
      },
    });
    const controller = new AbortController();
    const call = failure(client.unary({}, { signal: controller.signal }));
    await started.promise;
    controller.abort();
    await call;
    await drain(client.serverStream({}));
    expect(((await reason.promise) as ConnectError).code).toBe(Code.Canceled);
  });
});
