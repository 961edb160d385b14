import { once } from "node:events";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import {
  type Client,
  Code,
  ConnectError,
  createClient,
  type Interceptor,
  type ServiceImpl,
  type Transport,
} from "@connectrpc/connect";
import {
  connectNodeAdapter,
  createConnectTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { Server } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { type HistogramCell, Instruments } from "../../../src/instruments.ts";
import { CallMetrics, type EndedCall, telemetry, webSystem } from "../../../src/interceptors/rpc/index.ts";
import { addConnectService, createGrpcTransport, listenGrpc } from "../../../src/transport/index.ts";
import { TransportService } from "../../gen/retake/test/v1/transport_pb.js";
import { aborted } from "../../transport/transport-contract.ts";

type Calls = Client<typeof TransportService>;

/** All of gRPC's codes; OK is 0. */
const codes = Array.from({ length: 17 }, (_, code) => code);

const names = [
  ...["OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"],
  ...["PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"],
  ...["INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"],
];

/** Those that the semantic conventions have for errors of a server. */
const errors = ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

async function* texts(...all: string[]): AsyncGenerator<{ text: string }> {
  for (const text of all) yield { text };
}

async function toEnd(messages: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of messages) {
    // To its end.
  }
}

/** By kind, a call that ends with a code, or waits until it is cancelled ("wait"). */
const kinds: Readonly<Record<string, (calls: Calls, text: string, signal?: AbortSignal) => Promise<unknown>>> = {
  Unary: (calls, text, signal) => calls.unary({ text }, { ...(signal && { signal }) }),
  ServerStream: (calls, text, signal) => toEnd(calls.serverStream({ text }, { ...(signal && { signal }) })),
  ClientStream: (calls, text, signal) => calls.clientStream(texts("a", text), { ...(signal && { signal }) }),
  Bidi: (calls, text, signal) => toEnd(calls.bidi(texts("a", text), { ...(signal && { signal }) })),
};

/** Ends as a text says. */
async function end(text: string, signal: AbortSignal): Promise<void> {
  if (text === "wait") throw await aborted(signal);
  const code = Number(text);
  if (code > 0) throw new ConnectError(`ended by ${code}`, code);
}

const implementation: ServiceImpl<typeof TransportService> = {
  async unary({ text }, { signal }) {
    await end(text, signal);
    return { text };
  },
  async *serverStream({ text }, { signal }) {
    yield { text };
    await end(text, signal);
  },
  async clientStream(requests, { signal }) {
    for await (const { text } of requests) if (text !== "a") await end(text, signal);
    return {};
  },
  async *bidi(requests, { signal }) {
    for await (const { text } of requests) {
      yield { text };
      if (text !== "a") await end(text, signal);
    }
  },
};

/** A service on all protocols, and what its telemetry says. */
interface Measured {
  readonly transports: ReadonlyMap<string, Transport>;
  readonly instruments: Instruments;
  readonly ended: EndedCall[];
  close(): Promise<void>;
}

async function serve(): Promise<Measured> {
  const instruments = new Instruments(10_000);
  const metrics = new CallMetrics(instruments);
  const ended: EndedCall[] = [];
  const spans = { begin: () => ({ end: (call: EndedCall) => void ended.push(call) }) };
  const measured = (system: typeof webSystem): Interceptor => telemetry({ metrics, spans, system, clock: systemClock });

  const grpc = new Server();
  addConnectService(grpc, TransportService, implementation, { interceptors: [measured(() => "grpc")] });
  const listener = await listenGrpc(grpc, { host: "127.0.0.1", port: 0 });
  // Over HTTP/2, as bidirectional streams need it.
  const web = createServer(
    connectNodeAdapter({
      routes: (router) => router.service(TransportService, implementation),
      interceptors: [measured(webSystem)],
    }),
  );
  web.listen(0, "127.0.0.1");
  await once(web, "listening");
  const baseUrl = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
  const sessionManager = new Http2SessionManager(baseUrl);
  const ofWeb = { baseUrl, httpVersion: "2" as const, sessionManager };
  const grpcTransport = createGrpcTransport({ target: `127.0.0.1:${listener.port}` });
  return {
    transports: new Map<string, Transport>([
      ["gRPC", grpcTransport],
      ["gRPC-Web", createGrpcWebTransport(ofWeb)],
      ["Connect", createConnectTransport(ofWeb)],
    ]),
    instruments,
    ended,
    async close() {
      grpcTransport.close();
      sessionManager.abort();
      web.close();
      await listener.destroy();
    },
  };
}

/** How often each series of calls was counted, by its labels. */
function counts(instruments: Instruments): Map<string, number> {
  const family = instruments
    .collect(() => undefined)
    .find(({ description }) => description.name === "rpc.server.call.duration");
  const cells = Array.from((family?.cells() ?? []) as Iterable<HistogramCell>);
  return new Map(cells.map(({ attributes, count }) => [Object.values(attributes).join(" "), count]));
}

let measured: Measured;
beforeAll(async () => {
  measured = await serve();
});
afterAll(() => measured.close());

/** What has been counted since. */
async function countedBy(work: () => Promise<void>): Promise<Record<string, number>> {
  const before = counts(measured.instruments);
  await work();
  const changes = Array.from(counts(measured.instruments), ([key, count]) => [key, count - (before.get(key) ?? 0)]);
  return Object.fromEntries(changes.filter(([, count]) => count !== 0));
}

describe.each([
  ["gRPC", "grpc"],
  ["gRPC-Web", "grpc"],
  ["Connect", "connectrpc"],
])("telemetry of calls by %s", (protocol, system) => {
  const transport = (): Transport => {
    const found = measured.transports.get(protocol);
    if (found === undefined) throw new Error(`there is no transport for ${protocol}`);
    return found;
  };
  const calls = (): Calls => createClient(TransportService, transport());

  it.each(Object.entries(kinds))("counts and traces each status of a %s call", async (method, call) => {
    const name = `retake.test.v1.TransportService/${method}`;
    measured.ended.splice(0);
    const counted = await countedBy(async () => {
      for (const code of codes) {
        const error = await call(calls(), String(code)).catch((reason: unknown) => reason);
        expect(error instanceof ConnectError ? error.code : 0).toBe(code);
      }
    });
    expect(counted).toEqual(
      Object.fromEntries(
        names.map((status) => [[system, name, status, ...(errors.includes(status) ? [status] : [])].join(" "), 1]),
      ),
    );
    expect(measured.ended).toEqual(
      names.map((statusCode, code) => ({
        ...{ system, method: name, statusCode, runId: "", seconds: expect.any(Number) },
        authority: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
        errorType: errors.includes(statusCode) ? statusCode : "",
        message: code === 0 ? "" : `ended by ${code}`,
      })),
    );
  });

  it.each(Object.entries(kinds))("tells that a %s call was cancelled by its caller", async (method, call) => {
    const counted = await countedBy(async () => {
      const abort = new AbortController();
      measured.ended.splice(0);
      const cancelled = call(calls(), "wait", abort.signal);
      setTimeout(() => abort.abort(), 30);
      await expect(cancelled).rejects.toMatchObject({ code: Code.Canceled });
      await expect.poll(() => measured.ended, { interval: 5 }).toHaveLength(1);
    });
    expect(counted).toEqual({ [`${system} retake.test.v1.TransportService/${method} CANCELLED`]: 1 });
  });

  it("makes no series of methods that there are not", async () => {
    const counted = await countedBy(async () => {
      const unheard = { ...TransportService.method.unary, name: "Unheard" };
      const called = transport().unary(unheard, undefined, undefined, undefined, {});
      await expect(called).rejects.toMatchObject({ code: Code.Unimplemented });
    });
    expect(counted).toEqual({});
  });
});
