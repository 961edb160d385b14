import { create } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createClient,
  createContextKey,
  createContextValues,
  decodeBinaryHeader,
  encodeBinaryHeader,
  type HandlerContext,
  type Interceptor,
  type ServiceImpl,
  type Transport,
} from "@connectrpc/connect";
import { afterEach, describe, expect, test } from "vitest";
import { flushHeadersKey, peerKey, whenAborted } from "../../src/transport/index.ts";
import {
  TransportErrorDetailSchema,
  TransportService,
  UnaryRequestSchema,
  UnaryResponseSchema,
} from "../gen/retake/test/v1/transport_pb.js";

export type TestImplementation = Partial<ServiceImpl<typeof TransportService>>;

/** What a call is made between: the parts of a transport under test. */
export interface TransportFixture {
  readonly transport: Transport;
  close(): Promise<void>;
}

/** A pair of client and server to hold to the contract. */
export interface TransportUnderTest {
  start(
    implementation: TestImplementation,
    interceptors: { readonly server: Interceptor[]; readonly client: Interceptor[] },
  ): Promise<TransportFixture>;
  /** The server is this project's, which does more than Connect's own. */
  readonly ownServer: boolean;
  /** The client is this project's, which does more than Connect's own. */
  readonly ownClient: boolean;
  /** No network lies between client and server. */
  readonly isLocal?: boolean;
  /** What the peer's address looks like. */
  readonly peerAddress?: RegExp;
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve(signal.reason);
    } else {
      signal.addEventListener("abort", () => resolve(signal.reason), { once: true });
    }
  });
}

/** Resolves when a count has stopped growing, over many turns of the event loop and of the I/O in them. */
async function settled(count: () => number): Promise<number> {
  let last = -1;
  for (let quietTurns = 0; quietTurns < 1000; quietTurns++) {
    if (count() !== last) {
      last = count();
      quietTurns = 0;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return last;
}

/** Awaits a rejection and returns it as the ConnectError that it must be. */
export async function failure(promise: Promise<unknown>): Promise<ConnectError> {
  try {
    await promise;
  } catch (error) {
    expect(error).toBeInstanceOf(ConnectError);
    return error as ConnectError;
  }
  throw new Error("the call has succeeded");
}

/**
 * The failure of a call by its deadline once the call had begun: on a machine that stalls, a time may be over before
 * that, and the next call has more.
 */
async function failsAfterItBegan(
  call: (timeoutMs: number) => Promise<unknown>,
  hasBegun: () => boolean,
): Promise<{ error: ConnectError; timeoutMs: number }> {
  let timeoutMs = 100;
  let error: ConnectError;
  do {
    timeoutMs *= 3;
    error = await failure(call(timeoutMs));
  } while (!hasBegun() && timeoutMs < 10_000);
  return { error, timeoutMs };
}

async function collect<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const message of messages) {
    all.push(message);
  }
  return all;
}

/** The behaviour that every pair of a transport's two ends must show. */
export function describeTransport(name: string, underTest: TransportUnderTest): void {
  describe(name, () => {
    const fixtures: TransportFixture[] = [];
    afterEach(async () => {
      for (const fixture of fixtures.splice(0)) {
        await fixture.close();
      }
    });

    async function start(
      implementation: TestImplementation,
      interceptors: { server?: Interceptor[]; client?: Interceptor[] } = {},
    ) {
      const { server = [], client = [] } = interceptors;
      const fixture = await underTest.start(implementation, { server, client });
      fixtures.push(fixture);
      return { client: createClient(TransportService, fixture.transport), transport: fixture.transport };
    }

    describe("messages", () => {
      test("a unary call carries a request and a response", async () => {
        const { client } = await start({
          unary: (request) => ({ text: `got ${request.text}`, data: request.data.toReversed() }),
        });
        const response = await client.unary({ text: "Grüße, 世界", data: new Uint8Array([1, 2, 3]) });
        expect(response.text).toBe("got Grüße, 世界");
        expect(response.data).toEqual(new Uint8Array([3, 2, 1]));
        expect(response.data.constructor).toBe(Uint8Array);
      });

      test("an empty message is a message", async () => {
        const { client } = await start({ unary: () => ({}) });
        expect((await client.unary({})).text).toBe("");
      });

      test("a message of a megabyte arrives whole", async () => {
        const { client } = await start({ unary: (request) => ({ data: request.data }) });
        const data = new Uint8Array(1_000_000).map((_, i) => i);
        expect(Buffer.compare((await client.unary({ data })).data, data)).toBe(0);
      });

      test("a server stream arrives in order", async () => {
        const { client } = await start({
          async *serverStream(request) {
            for (let index = 0; index < request.count; index++) {
              yield { text: request.text, index };
            }
          },
        });
        const responses = await collect(client.serverStream({ text: "x", count: 500 }));
        expect(responses.map((response) => response.index)).toEqual(Array.from({ length: 500 }, (_, i) => i));
      });

      test("a server stream may have no message", async () => {
        const { client } = await start({
          // biome-ignore lint/correctness/useYield: an implementation that yields nothing is the point.
          async *serverStream(_, context) {
            context.responseHeader.set("x-header", "h");
            context.responseTrailer.set("x-trailer", "t");
          },
        });
        let header: Headers | undefined;
        let trailer: Headers | undefined;
        const responses = client.serverStream(
          {},
          {
            onHeader: (headers) => {
              header = headers;
            },
            onTrailer: (headers) => {
              trailer = headers;
            },
          },
        );
        expect(await collect(responses)).toEqual([]);
        expect([header?.get("x-header"), trailer?.get("x-trailer")]).toEqual(["h", "t"]);
      });

      test("a client stream arrives in order and is answered once", async () => {
        const { client } = await start({
          async clientStream(requests) {
            const texts = (await collect(requests)).map((request) => request.text);
            return { text: texts.join(), count: texts.length };
          },
        });
        const response = await client.clientStream(
          (async function* () {
            for (let i = 0; i < 100; i++) {
              yield { text: `${i}` };
            }
          })(),
        );
        expect(response.count).toBe(100);
        expect(response.text).toBe(Array.from({ length: 100 }, (_, i) => i).join());
      });

      test("a client stream may have no message", async () => {
        const { client } = await start({
          clientStream: async (requests) => ({ count: (await collect(requests)).length }),
        });
        expect((await client.clientStream((async function* () {})())).count).toBe(0);
      });

      test("a bidi stream answers each message as it comes", async () => {
        const { client } = await start({
          async *bidi(requests) {
            for await (const request of requests) {
              yield { text: `re: ${request.text}` };
            }
          },
        });
        let answered = Promise.withResolvers<void>();
        const received: string[] = [];
        const requests = (async function* () {
          for (const text of ["a", "b", "c"]) {
            answered = Promise.withResolvers<void>();
            yield { text };
            // The next request leaves only after this one's answer has come.
            await answered.promise;
          }
        })();
        for await (const response of client.bidi(requests)) {
          received.push(response.text);
          answered.resolve();
        }
        expect(received).toEqual(["re: a", "re: b", "re: c"]);
      });

      test("the server may end a bidi stream while the client still sends", async () => {
        const left = Promise.withResolvers<void>();
        const { client } = await start({
          async *bidi(requests) {
            for await (const request of requests) {
              yield { text: request.text };
              return;
            }
          },
        });
        const requests = (async function* () {
          try {
            for (let i = 0; ; i++) {
              yield { text: `${i}` };
              await new Promise((resolve) => setImmediate(resolve));
            }
          } finally {
            left.resolve();
          }
        })();
        expect(await collect(client.bidi(requests))).toMatchObject([{ text: "0" }]);
        await left.promise;
      });

      test("the server may answer a client stream before it has ended", async () => {
        const { client } = await start({ clientStream: async () => ({ text: "enough" }) });
        const requests = (async function* () {
          for (;;) {
            yield { text: "more" };
            await new Promise((resolve) => setImmediate(resolve));
          }
        })();
        expect((await client.clientStream(requests)).text).toBe("enough");
      });

      test("many calls run at once over one transport", async () => {
        const { client } = await start({
          unary: async (request) => {
            await new Promise((resolve) => setImmediate(resolve));
            return { text: request.text };
          },
        });
        const texts = Array.from({ length: 200 }, (_, i) => `${i}`);
        const responses = await Promise.all(texts.map((text) => client.unary({ text })));
        expect(responses.map((response) => response.text)).toEqual(texts);
      });

      test("neither side sees what the other does to its own message", async () => {
        let seen = "";
        const kept = create(UnaryResponseSchema, { text: "original", data: new Uint8Array([1]) });
        const { client } = await start({
          async unary(request) {
            await Promise.resolve();
            seen = request.text;
            request.text = "changed by the server";
            return kept;
          },
        });
        const request = create(UnaryRequestSchema, { text: "sent" });
        const pending = client.unary(request);
        const response = await pending;
        response.text = "changed by the client";
        response.data[0] = 9;
        expect([seen, request.text, kept.text, kept.data[0]]).toEqual(["sent", "sent", "original", 1]);
      });
    });

    describe("metadata", () => {
      const bytes = new Uint8Array([0, 255, 128, 7]);

      function echo(context: HandlerContext): void {
        for (const [name, value] of context.requestHeader) {
          if (name.startsWith("x-")) {
            context.responseHeader.append(name, value);
            context.responseTrailer.append(
              `${name.replace(/-bin$/, "")}-trailer${name.endsWith("-bin") ? "-bin" : ""}`,
              value,
            );
          }
        }
      }

      function sent(): Headers {
        const headers = new Headers({
          "x-ascii": "plain text, with: punctuation",
          "x-data-bin": encodeBinaryHeader(bytes),
        });
        headers.append("x-many", "1");
        headers.append("x-many", "2");
        return headers;
      }

      function expectEchoed(header: Headers | undefined, trailer: Headers | undefined): void {
        expect(header?.get("x-ascii")).toBe("plain text, with: punctuation");
        expect(header?.get("x-many")).toBe("1, 2");
        expect(decodeBinaryHeader(header?.get("x-data-bin") ?? "")).toEqual(bytes);
        expect(trailer?.get("x-ascii-trailer")).toBe("plain text, with: punctuation");
        expect(decodeBinaryHeader(trailer?.get("x-data-trailer-bin") ?? "")).toEqual(bytes);
      }

      type Client = Awaited<ReturnType<typeof start>>["client"];
      const kinds = {
        unary: async (client: Client, options: object) => void (await client.unary({}, options)),
        serverStream: async (client: Client, options: object) => void (await collect(client.serverStream({}, options))),
        clientStream: async (client: Client, options: object) =>
          void (await client.clientStream((async function* () {})(), options)),
        bidi: async (client: Client, options: object) =>
          void (await collect(client.bidi((async function* () {})(), options))),
      };

      test.each(Object.entries(kinds))(
        "%s carries text and bytes, as headers and trailers, both ways",
        async (_, call) => {
          const { client } = await start({
            unary: (_request, context) => {
              echo(context);
              return {};
            },
            async *serverStream(_request, context) {
              echo(context);
              yield {};
            },
            clientStream: async (_requests, context) => {
              echo(context);
              return {};
            },
            async *bidi(_requests, context) {
              echo(context);
              yield {};
            },
          });
          let header: Headers | undefined;
          let trailer: Headers | undefined;
          await call(client, {
            headers: sent(),
            onHeader: (headers: Headers) => {
              header = headers;
            },
            onTrailer: (headers: Headers) => {
              trailer = headers;
            },
          });
          expectEchoed(header, trailer);
        },
      );

      test("trailers may be set after the last message", async () => {
        const { client } = await start({
          async *serverStream(_request, context) {
            yield {};
            context.responseTrailer.set("x-late", "yes");
          },
        });
        let trailer: Headers | undefined;
        await collect(
          client.serverStream(
            {},
            {
              onTrailer: (headers) => {
                trailer = headers;
              },
            },
          ),
        );
        expect(trailer?.get("x-late")).toBe("yes");
      });

      test("an implementation sees the method, the service and what the call is", async () => {
        let seen: HandlerContext | undefined;
        const { client } = await start({
          unary: (_request, context) => {
            seen = context;
            return {};
          },
        });
        await client.unary({});
        expect(seen?.method).toBe(TransportService.method.unary);
        expect(seen?.service).toBe(TransportService);
        expect(seen?.requestMethod).toBe("POST");
        expect(seen?.url).toMatch(/\/retake\.test\.v1\.TransportService\/Unary$/);
        expect(seen?.timeoutMs()).toBeUndefined();
      });

      test("a spread context keeps everything", async () => {
        let seen: HandlerContext | undefined;
        const { client } = await start({
          unary: (_request, context) => {
            seen = { ...context };
            return {};
          },
        });
        await client.unary({}, { headers: { "x-a": "b" } });
        expect(seen?.requestHeader.get("x-a")).toBe("b");
        expect(seen?.signal).toBeInstanceOf(AbortSignal);
        expect(seen?.values.get(createContextKey("default"))).toBe("default");
        expect(seen?.responseHeader).toBeInstanceOf(Headers);
      });
    });

    describe("errors", () => {
      const codes = Object.values(Code).filter((code): code is Code => typeof code === "number");

      test.each(codes.map((code) => [Code[code], code]))("%s arrives with its message", async (_, code) => {
        const { client } = await start({
          unary: () => {
            throw new ConnectError('why: 100 % of it, ünïcode/and "more"\n#2?', code as Code);
          },
        });
        const error = await failure(client.unary({}));
        expect(error.code).toBe(code);
        expect(error.rawMessage).toBe('why: 100 % of it, ünïcode/and "more"\n#2?');
      });

      test.each(["a/b", "half a %", "", "50%, a:b", "x".repeat(1000)])(
        "the message %j arrives as it is",
        async (message) => {
          const { client } = await start({
            unary: () => {
              throw new ConnectError(message, Code.Aborted);
            },
          });
          expect((await failure(client.unary({}))).rawMessage).toBe(message);
        },
      );

      test("details and metadata arrive, of headers, trailers and the error", async () => {
        const { client } = await start({
          unary: (_request, context) => {
            context.responseHeader.set("x-header", "h");
            context.responseTrailer.set("x-trailer", "t");
            throw new ConnectError("no", Code.FailedPrecondition, { "x-error": "e", "x-data-bin": "AAEC" }, [
              { desc: TransportErrorDetailSchema, value: { reason: "first" } },
              { desc: TransportErrorDetailSchema, value: { reason: "second" } },
            ]);
          },
        });
        const error = await failure(client.unary({}));
        expect(error.findDetails(TransportErrorDetailSchema).map((detail) => detail.reason)).toEqual([
          "first",
          "second",
        ]);
        expect(["x-header", "x-trailer", "x-error"].map((name) => error.metadata.get(name))).toEqual(["h", "t", "e"]);
        expect(decodeBinaryHeader(error.metadata.get("x-data-bin") ?? "")).toEqual(new Uint8Array([0, 1, 2]));
        expect(error.code).toBe(Code.FailedPrecondition);
        expect(error.rawMessage).toBe("no");
      });

      test("an error after some messages comes after them", async () => {
        const { client } = await start({
          async *serverStream(_request, context) {
            context.responseTrailer.set("x-trailer", "t");
            yield { index: 0 };
            yield { index: 1 };
            throw new ConnectError("then", Code.DataLoss, undefined, [
              { desc: TransportErrorDetailSchema, value: { reason: "late" } },
            ]);
          },
        });
        const received: number[] = [];
        const error = await failure(
          (async () => {
            for await (const response of client.serverStream({})) {
              received.push(response.index);
            }
          })(),
        );
        expect(received).toEqual([0, 1]);
        expect(error.code).toBe(Code.DataLoss);
        expect(error.findDetails(TransportErrorDetailSchema)[0]?.reason).toBe("late");
        expect(error.metadata.get("x-trailer")).toBe("t");
      });

      const kinds: [string, (client: Awaited<ReturnType<typeof start>>["client"]) => Promise<unknown>][] = [
        ["unary", (client) => client.unary({})],
        ["serverStream", (client) => collect(client.serverStream({}))],
        ["clientStream", (client) => client.clientStream((async function* () {})())],
        ["bidi", (client) => collect(client.bidi((async function* () {})()))],
      ];

      test.each(kinds)("%s: what is no ConnectError becomes Internal and tells nothing", async (_, call) => {
        const thrower = (): never => {
          throw new Error("the password is hunter2");
        };
        const { client } = await start({
          unary: thrower,
          serverStream: thrower,
          clientStream: thrower,
          bidi: thrower,
        });
        const error = await failure(call(client));
        expect(error.code).toBe(Code.Internal);
        expect(error.rawMessage).toBe("internal error");
        expect(JSON.stringify([error.rawMessage, [...error.metadata]])).not.toContain("hunter2");
      });

      test.each(kinds)("%s: a method without implementation is Unimplemented", async (_, call) => {
        const { client } = await start({});
        expect((await failure(call(client))).code).toBe(Code.Unimplemented);
      });

      test.runIf(underTest.ownServer).each([undefined, null, 1, "text", Symbol("s")])(
        "an implementation that answers %s is Internal",
        async (answer) => {
          const { client } = await start({
            unary: () => answer as never,
            clientStream: async () => answer as never,
            serverStream: () => answer as never,
            async *bidi() {
              yield answer as never;
            },
          });
          for (const [, call] of kinds) {
            expect((await failure(call(client))).code).toBe(Code.Internal);
          }
        },
      );

      test.runIf(underTest.ownServer).each([undefined, null, 42, "text", Symbol("s"), { code: 5 }])(
        "an implementation that throws %s is Internal",
        async (thrown) => {
          const thrower = (): never => {
            throw thrown;
          };
          const { client } = await start({
            unary: thrower,
            serverStream: thrower,
            clientStream: thrower,
            bidi: thrower,
          });
          for (const [, call] of kinds) {
            expect((await failure(call(client))).code).toBe(Code.Internal);
          }
        },
      );

      test("a client stream that fails on the caller's side fails the call with that", async () => {
        const { client } = await start({
          clientStream: async (requests) => ({ count: (await collect(requests)).length }),
        });
        const requests = (async function* () {
          yield { text: "one" };
          throw new ConnectError("out of input", Code.FailedPrecondition);
        })();
        const error = await failure(client.clientStream(requests));
        expect(error.message).toContain("out of input");
      });
    });

    describe("deadlines and cancellation", () => {
      test("a timeout reaches the server and fails the call with DeadlineExceeded on both sides", async () => {
        const timesLeft: (number | undefined)[] = [];
        const reasons: Promise<unknown>[] = [];
        const { client } = await start({
          async unary(_request, context) {
            timesLeft.push(context.timeoutMs());
            const reason = aborted(context.signal);
            reasons.push(reason);
            await reason;
            return {};
          },
        });
        const { error, timeoutMs } = await failsAfterItBegan(
          (timeoutMs) => client.unary({}, { timeoutMs }),
          () => timesLeft.length > 0,
        );
        expect(error.code).toBe(Code.DeadlineExceeded);
        expect(timesLeft[0]).toBeGreaterThan(0);
        expect(timesLeft[0]).toBeLessThanOrEqual(timeoutMs);
        // The client's time began before the server's: over a network its cancellation may come before the server's own deadline.
        const codes = underTest.isLocal ? [Code.DeadlineExceeded] : [Code.DeadlineExceeded, Code.Canceled];
        expect(codes).toContain(ConnectError.from(await reasons[0], Code.Canceled).code);
      });

      test("a timeout ends a stream that has begun", async () => {
        const ended = Promise.withResolvers<unknown>();
        const { client } = await start({
          async *serverStream(_request, context) {
            yield { index: 0 };
            ended.resolve(await aborted(context.signal));
          },
        });
        const received: number[] = [];
        const { error } = await failsAfterItBegan(
          async (timeoutMs) => {
            for await (const response of client.serverStream({}, { timeoutMs })) {
              received.push(response.index);
            }
          },
          () => received.length > 0,
        );
        expect(received).toEqual([0]);
        expect(error.code).toBe(Code.DeadlineExceeded);
        await ended.promise;
      });

      // Connect's own clients and servers let their timers overflow.
      test.runIf(underTest.ownServer && underTest.ownClient)(
        "a timeout longer than timers can be does not expire at once",
        async () => {
          const { client } = await start({
            async unary(_request, context) {
              const { signal } = context;
              // An overflowing timer fires after one millisecond.
              await new Promise((resolve) => setTimeout(resolve, 20));
              return { text: `${signal.aborted} ${(context.timeoutMs() ?? 0) > 59 * 86_400_000}` };
            },
          });
          expect((await client.unary({}, { timeoutMs: 60 * 86_400_000 })).text).toBe("false true");
        },
      );

      test("a call that is aborted before it starts does not start", async () => {
        let called = false;
        const { client } = await start({
          unary: () => {
            called = true;
            return {};
          },
        });
        const error = await failure(client.unary({}, { signal: AbortSignal.abort() }));
        expect(error.code).toBe(Code.Canceled);
        expect(called).toBe(false);
      });

      test("an aborted unary call is Canceled on both sides", async () => {
        const started = Promise.withResolvers<void>();
        const reason = Promise.withResolvers<unknown>();
        const { client } = await start({
          async unary(_request, context) {
            started.resolve();
            reason.resolve(await aborted(context.signal));
            return {};
          },
        });
        const controller = new AbortController();
        const call = failure(client.unary({}, { signal: controller.signal }));
        await started.promise;
        controller.abort();
        expect((await call).code).toBe(Code.Canceled);
        expect(await reason.promise).toBeInstanceOf(Error);
      });

      test("an aborted stream is Canceled, and its generator cleans up", async () => {
        const cleaned = Promise.withResolvers<void>();
        const { client } = await start({
          async *serverStream(_request, context) {
            try {
              yield { index: 0 };
              await aborted(context.signal);
              yield { index: 1 };
            } finally {
              cleaned.resolve();
            }
          },
        });
        const controller = new AbortController();
        const error = await failure(
          (async () => {
            for await (const _ of client.serverStream({}, { signal: controller.signal })) {
              controller.abort();
            }
          })(),
        );
        expect(error.code).toBe(Code.Canceled);
        await cleaned.promise;
      });

      // Over a wire, Connect's own server takes it for the end of the requests.
      test.runIf(underTest.ownServer)("an aborted bidi stream never looks complete to the server", async () => {
        const left = Promise.withResolvers<string>();
        const { client } = await start({
          async *bidi(requests) {
            let how = "left";
            try {
              for await (const request of requests) {
                yield { text: request.text };
              }
              how = "complete";
            } finally {
              left.resolve(how);
            }
          },
        });
        const controller = new AbortController();
        const requests = (async function* () {
          yield { text: "a" };
          await aborted(controller.signal);
        })();
        const error = await failure(
          (async () => {
            for await (const _ of client.bidi(requests, { signal: controller.signal })) {
              controller.abort();
            }
          })(),
        );
        expect(error.code).toBe(Code.Canceled);
        expect(await left.promise).toBe("left");
      });

      test("the server's signal also aborts when the call has completed", async () => {
        let signal: AbortSignal | undefined;
        const { client } = await start({
          unary: (_request, context) => {
            signal = context.signal;
            return { text: `${signal.aborted}` };
          },
        });
        expect((await client.unary({})).text).toBe("false");
        await aborted(signal as AbortSignal);
      });

      test("the caller's signal keeps no listeners after its calls", async () => {
        const { client } = await start({
          unary: () => ({}),
          async *serverStream() {
            yield {};
          },
        });
        const { signal } = new AbortController();
        let listeners = 0;
        const add = signal.addEventListener.bind(signal);
        const remove = signal.removeEventListener.bind(signal);
        signal.addEventListener = (...args: Parameters<typeof add>) => {
          listeners++;
          add(...args);
        };
        signal.removeEventListener = (...args: Parameters<typeof remove>) => {
          listeners--;
          remove(...args);
        };
        await client.unary({}, { signal });
        await collect(client.serverStream({}, { signal }));
        expect(listeners).toBe(0);
      });
    });

    describe("interceptors", () => {
      test("run in the order listed, the first outermost, on both sides", async () => {
        const log: string[] = [];
        const logged =
          (name: string): Interceptor =>
          (next) =>
          async (request) => {
            log.push(`${name} in`);
            const response = await next(request);
            log.push(`${name} out`);
            return response;
          };
        const { client } = await start(
          { unary: () => ({}) },
          { client: [logged("c1"), logged("c2")], server: [logged("s1"), logged("s2")] },
        );
        await client.unary({});
        expect(log).toEqual(["c1 in", "c2 in", "s1 in", "s2 in", "s2 out", "s1 out", "c2 out", "c1 out"]);
      });

      test("that end a stream tell its implementation, which waits for something else", async () => {
        const told = Promise.withResolvers<void>();
        const lost = new ConnectError("enough", Code.Unauthenticated);
        const ending: Interceptor = (next) => async (request) => {
          const response = await next(request);
          if (!response.stream) {
            return response;
          }
          const iterator = response.message[Symbol.asyncIterator]();
          const messages = (async function* () {
            yield (await iterator.next()).value;
            void iterator.next();
            throw lost;
          })();
          return { ...response, message: messages } as typeof response;
        };
        const { client } = await start(
          {
            async *serverStream(_request, context) {
              yield { index: 0 };
              whenAborted(context, () => told.resolve());
              await aborted(context.signal);
            },
          },
          { server: [ending] },
        );
        expect((await failure(collect(client.serverStream({})))).code).toBe(Code.Unauthenticated);
        await told.promise;
      });

      test("see and change headers, trailers, messages and context values, also through a spread request", async () => {
        const userKey = createContextKey("nobody");
        const server: Interceptor = (next) => async (request) => {
          request.contextValues.set(userKey, request.header.get("x-user") ?? "");
          const response = await next({ ...request } as typeof request);
          response.header.set("x-header", "h");
          response.trailer.set("x-trailer", "t");
          return response;
        };
        const client: Interceptor = (next) => async (request) => {
          request.header.set("x-user", request.contextValues.get(userKey));
          return await next(request);
        };
        const { client: caller } = await start(
          { unary: (_request, context) => ({ text: context.values.get(userKey) }) },
          { server: [server], client: [client] },
        );
        let header: Headers | undefined;
        let trailer: Headers | undefined;
        const response = await caller.unary(
          {},
          {
            contextValues: createContextValues().set(userKey, "ann"),
            onHeader: (headers) => {
              header = headers;
            },
            onTrailer: (headers) => {
              trailer = headers;
            },
          },
        );
        expect([response.text, header?.get("x-header"), trailer?.get("x-trailer")]).toEqual(["ann", "h", "t"]);
      });

      test("may replace the response", async () => {
        const replace: Interceptor = (next) => async (request) => {
          const response = await next(request);
          return {
            ...response,
            header: new Headers({ "x-header": "new" }),
            message: create(UnaryResponseSchema, { text: "replaced" }),
          } as typeof response;
        };
        const { client } = await start({ unary: () => ({ text: "original" }) }, { server: [replace] });
        let header: Headers | undefined;
        const response = await client.unary(
          {},
          {
            onHeader: (headers) => {
              header = headers;
            },
          },
        );
        expect([response.text, header?.get("x-header")]).toEqual(["replaced", "new"]);
      });

      test("see an implementation's error, and may put another in its place", async () => {
        const translate: Interceptor = (next) => async (request) => {
          try {
            return await next(request);
          } catch (error) {
            throw new ConnectError(`translated: ${(error as Error).message}`, Code.ResourceExhausted);
          }
        };
        const { client } = await start(
          {
            unary: () => {
              throw new Error("disk full");
            },
          },
          { server: [translate] },
        );
        const error = await failure(client.unary({}));
        expect([error.code, error.rawMessage]).toEqual([Code.ResourceExhausted, "translated: disk full"]);
      });

      test("see the messages of streams, and may change them", async () => {
        const shout: Interceptor = (next) => async (request) => {
          if (!request.stream) {
            return await next(request);
          }
          const response = await next(request);
          if (!response.stream) {
            return response;
          }
          return {
            ...response,
            message: (async function* () {
              for await (const message of response.message) {
                yield Object.assign(message, { text: `${(message as unknown as { text: string }).text}!` });
              }
            })(),
          };
        };
        const { client } = await start(
          {
            async *serverStream() {
              yield { text: "a" };
              yield { text: "b" };
            },
          },
          { server: [shout] },
        );
        expect((await collect(client.serverStream({}))).map((response) => response.text)).toEqual(["a!", "b!"]);
      });

      test("may call a client's transport again", async () => {
        let calls = 0;
        const retry: Interceptor = (next) => async (request) => {
          try {
            return await next(request);
          } catch {
            return await next(request);
          }
        };
        const { client } = await start(
          {
            unary: () => {
              if (++calls === 1) {
                throw new ConnectError("again", Code.Unavailable);
              }
              return { text: `${calls}` };
            },
          },
          { client: [retry] },
        );
        expect((await client.unary({})).text).toBe("2");
      });
    });

    describe("back-pressure", () => {
      // Connect's own server writes on.
      test.runIf(underTest.ownServer)("a slow reader keeps the generator waiting", async () => {
        let produced = 0;
        const cleaned = Promise.withResolvers<void>();
        const { client } = await start({
          async *serverStream() {
            try {
              for (;;) {
                produced++;
                yield { data: new Uint8Array(100_000) };
              }
            } finally {
              cleaned.resolve();
            }
          },
        });
        const controller = new AbortController();
        const responses = client.serverStream({}, { signal: controller.signal })[Symbol.asyncIterator]();
        await responses.next();
        // 16 messages read ahead by the client, and what the windows and buffers of HTTP/2 and TCP hold.
        expect(await settled(() => produced)).toBeLessThan(120);
        controller.abort();
        await cleaned.promise;
      });

      test("a slow server keeps the caller's generator waiting", async () => {
        let produced = 0;
        const started = Promise.withResolvers<void>();
        const release = Promise.withResolvers<void>();
        const { client } = await start({
          async clientStream(requests) {
            started.resolve();
            await release.promise;
            for await (const _ of requests) {
              break;
            }
            return { text: "done" };
          },
        });
        const requests = (async function* () {
          for (;;) {
            produced++;
            yield { data: new Uint8Array(100_000) };
          }
        })();
        const call = client.clientStream(requests);
        await started.promise;
        expect(await settled(() => produced)).toBeLessThan(120);
        release.resolve();
        expect((await call).text).toBe("done");
      });
    });

    describe.runIf(underTest.ownServer)("what this project's servers add", () => {
      test("headers of a stream leave early when the implementation flushes them", async () => {
        const opened = Promise.withResolvers<void>();
        const { client } = await start({
          async *serverStream(_request, context) {
            context.responseHeader.set("x-run-id", "42");
            context.values.get(flushHeadersKey)();
            await opened.promise;
            yield { text: "after" };
          },
        });
        const responses = client.serverStream(
          {},
          {
            onHeader: (headers) => {
              expect(headers.get("x-run-id")).toBe("42");
              opened.resolve();
            },
          },
        );
        expect(await collect(responses)).toMatchObject([{ text: "after" }]);
      });

      test("flushing does nothing in a unary call", async () => {
        const { client } = await start({
          unary: (_request, context) => {
            context.values.get(flushHeadersKey)();
            context.responseHeader.set("x-after", "still in time");
            return {};
          },
        });
        let header: Headers | undefined;
        await client.unary(
          {},
          {
            onHeader: (headers) => {
              header = headers;
            },
          },
        );
        expect(header?.get("x-after")).toBe("still in time");
      });

      test("the peer is a context value", async () => {
        const { client } = await start({
          unary: (_request, context) => ({ text: context.values.get(peerKey)?.address ?? "" }),
        });
        expect((await client.unary({})).text).toMatch(underTest.peerAddress ?? /^never$/);
      });

      test.each(["responseHeader", "responseTrailer"] as const)(
        "a %s that gRPC cannot carry is a clear error",
        async (where) => {
          const { client } = await start({
            unary: (_request, context) => {
              context[where].set("x-city", "Zürich");
              return {};
            },
            async *serverStream(_request, context) {
              context[where].set("x-city", "Zürich");
              yield {};
            },
          });
          for (const error of [await failure(client.unary({})), await failure(collect(client.serverStream({})))]) {
            expect(error.code).toBe(Code.Internal);
            expect(error.rawMessage).toContain('header "x-city"');
          }
        },
      );

      test("metadata that gRPC cannot carry does not hide the error it comes with", async () => {
        const { client } = await start({
          unary: (_request, context) => {
            context.responseTrailer.set("x-city", "Zürich");
            throw new ConnectError("taken", Code.AlreadyExists, { "x-street": "Bärenplatz", "x-fine": "yes" });
          },
        });
        const error = await failure(client.unary({}));
        expect([error.code, error.rawMessage, error.metadata.get("x-fine")]).toEqual([
          Code.AlreadyExists,
          "taken",
          "yes",
        ]);
      });

      test("lone surrogates in messages and details do not stop an error", async () => {
        const { client } = await start({
          unary: () => {
            throw new ConnectError("half \ud83d of it", Code.Aborted, undefined, [
              { desc: TransportErrorDetailSchema, value: { reason: "\udc00" } },
              { desc: TransportErrorDetailSchema, value: { reason: "whole" } },
            ]);
          },
        });
        const error = await failure(client.unary({}));
        expect([error.code, error.rawMessage]).toEqual([Code.Aborted, "half \ufffd of it"]);
        expect(error.findDetails(TransportErrorDetailSchema).map((detail) => detail.reason)).toContain("whole");
      });

      test.each([0, 17, -1, 2.5, Number.NaN])("an error with the impossible code %s is Unknown", async (code) => {
        const { client } = await start({
          unary: () => {
            throw new ConnectError("odd", code as Code);
          },
        });
        expect((await failure(client.unary({}))).code).toBe(Code.Unknown);
      });
    });
  });
}
