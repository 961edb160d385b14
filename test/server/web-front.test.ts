import { once } from "node:events";
import { create, toBinary } from "@bufbuild/protobuf";
import { base64Encode } from "@bufbuild/protobuf/wire";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "../../gen/grpc/health/v1/health_pb.js";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { GetRunRequestSchema, RunService } from "../../gen/retake/v1/run_service_pb.js";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { PlainRequestSchema, WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { deferred, rejection } from "./harness.ts";
import { fetchWeb, jsonCall, openSocket, readToEnd, startListening } from "./listening-server.ts";

const plain = `/${WorkflowsService.typeName}/Plain`;
const streaming = `/${WorkflowsService.typeName}/Streaming`;
const startRun = `/${RunService.typeName}/StartRun`;
const getRun = `/${RunService.typeName}/GetRun`;
const unknownId = "018f0000-0000-7000-8000-000000000000";

let printed: MockInstance[];

beforeEach(() => {
  printed = (["log", "info", "warn", "error", "debug"] as const).map((method) => vi.spyOn(console, method));
});

afterEach(() => {
  for (const method of printed) {
    expect(method).not.toHaveBeenCalled();
    method.mockRestore();
  }
});

/** A message in the envelope of streaming protocols. */
function envelope(message: Uint8Array | string, flags = 0): Buffer {
  const bytes = Buffer.from(message as string);
  const head = Buffer.alloc(5);
  head.writeUInt8(flags);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

describe("the web port", () => {
  it("serves every service and every contract, by each of its protocols", async () => {
    const server = await startListening({
      plain: ({ text }) => ({ text: `${text}!` }),
      async *streaming() {
        yield { update: { case: "line", value: "one" } };
        yield { update: { case: "result", value: "two" } };
      },
    });
    for (const [protocol, transport] of Object.entries(server.web)) {
      const workflows = createClient(WorkflowsService, transport);
      const runs = createClient(RunService, transport);
      const health = createClient(Health, transport);
      expect(await workflows.plain({ text: "a" }), protocol).toMatchObject({ text: "a!" });
      const messages: unknown[] = [];
      let header = new Headers();
      let trailer = new Headers();
      const options = {
        onHeader: (headers: Headers) => {
          header = headers;
        },
        onTrailer: (trailers: Headers) => {
          trailer = trailers;
        },
      };
      for await (const { update } of workflows.streaming({}, options)) {
        messages.push(update.case === "progress" ? update.value.stage : update.value);
      }
      expect(messages, protocol).toEqual(["queued", "one", "two"]);
      expect(header.get("retake-run-id"), protocol).toMatch(/^[0-9a-f-]{36}$/);
      expect(trailer.get("retake-run-id"), protocol).toBe(header.get("retake-run-id"));
      const { run } = await runs.startRun({ workflow: plain.slice(1), input: { case: "json", value: '{"text":"b"}' } });
      const kinds: (string | undefined)[] = [];
      for await (const { update } of runs.watchRun({ runId: run?.runId ?? "" })) {
        if (update.case === "event") kinds.push(update.value.event.case);
      }
      expect(kinds, protocol).toEqual(["accepted", "attemptStarted", "succeeded"]);
      expect((await health.check({})).status, protocol).toBe(ServingStatus.SERVING);
      expect((await health.check({ service: WorkflowsService.typeName })).status).toBe(ServingStatus.SERVING);
    }
  });

  it("reads and writes an Any in JSON, of whatever contract it is", async () => {
    const { webPort } = await startListening();
    const message = { "@type": `type.googleapis.com/${PlainRequestSchema.typeName}`, text: "any" };
    const started = await fetchWeb(webPort, startRun, {
      body: JSON.stringify({ workflow: plain.slice(1), message }),
    });
    expect(started.status).toBe(200);
    const { runId } = started.json["run"] as { runId: string };
    const shown = await fetchWeb(webPort, getRun, { body: JSON.stringify({ runId, view: "RUN_VIEW_FULL" }) });
    expect(shown.json).toMatchObject({ run: { input: { value: message } } });
  });

  it("answers GET for methods without side effects, and for no others", async () => {
    const { webPort, runs } = await startListening();
    const { run } = await runs.startRun({ workflow: plain.slice(1) });
    const runId = run?.runId ?? "";
    const json = encodeURIComponent(JSON.stringify({ runId }));
    const binary = base64Encode(toBinary(GetRunRequestSchema, create(GetRunRequestSchema, { runId })), "url");
    for (const query of [`encoding=json&message=${json}`, `connect=v1&encoding=proto&base64=1&message=${binary}`]) {
      const answer = await fetchWeb(webPort, `${getRun}?${query}`, { method: "GET", headers: {} });
      expect(answer.status, query).toBe(200);
    }
    const refused = await fetchWeb(webPort, `${startRun}?encoding=json&message={}`, { method: "GET", headers: {} });
    expect(refused.status).toBe(405);
    expect(refused.headers.allow).toBe("POST");
    expect(refused.json).toMatchObject({ code: "unimplemented", message: "call this with POST" });
  });

  it("tells the probes how the server is", async () => {
    const state = { failing: false };
    const server = await startListening(
      {},
      {
        openStorage: (_, clock) =>
          createMemoryStorage({
            clock,
            durable: async () => {
              if (state.failing) throw new Error("the disk is full");
            },
          }),
      },
    );
    const probe = (path: string, method = "GET") => fetchWeb(server.webPort, path, { method, headers: {} });
    for (const path of ["/healthz", "/readyz"]) {
      const answer = await probe(path);
      expect(answer.status).toBe(200);
      expect(answer.json).toEqual({ status: "ok" });
      expect(answer.headers["cache-control"]).toBe("no-store");
      expect((await probe(path, "HEAD")).status).toBe(200);
    }
    state.failing = true;
    await rejection(server.workflows.plain({}), Code.Unavailable);
    const unready = await probe("/readyz");
    expect(unready.status).toBe(503);
    expect(unready.json).toMatchObject({ status: "unready", reason: expect.stringContaining("the disk is full") });
    expect((await probe("/healthz")).status).toBe(200);
    state.failing = false;
  });

  it("does not say what it is made of", async () => {
    const { webPort } = await startListening();
    for (const path of [plain, "/healthz", "/nothing"]) {
      const { headers } = await fetchWeb(webPort, path, { body: "{}" });
      expect(headers).not.toHaveProperty("server");
      expect(headers).not.toHaveProperty("x-powered-by");
    }
  });
});

describe("a request that is no call", () => {
  it.each([
    [
      "the root",
      "/",
      /^there is nothing at \/\. Here are \/healthz, \/readyz, \/artifacts\/ID, and POST .* retake\.test\.v1\.WorkflowsService/,
    ],
    [
      "an unknown method",
      "/retake.test.v1.WorkflowsService/Plian",
      /has no method Plian\. Did you mean "\/retake.test.v1.WorkflowsService\/Plain"\?/,
    ],
    [
      "an unknown service",
      "/retake.test.v1.WorkflowService/Plain",
      /no service .*Did you mean "retake.test.v1.WorkflowsService"\?/,
    ],
    [
      "what only the gRPC port serves",
      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
      /no service grpc.reflection.v1.ServerReflection/,
    ],
    ["a long path", `/${"x".repeat(5000)}`, /^there is nothing at \/x{199}…/],
    ["an empty path", "//", /^there is nothing at/],
    ["a name of JavaScript", "/__proto__", /^there is nothing at/],
  ])("to %s is told what there is", async (_, path, message) => {
    const { webPort } = await startListening();
    for (const method of ["POST", "GET", "PUT", "OPTIONS"]) {
      const answer = await fetchWeb(webPort, path, { method });
      expect(answer.status).toBe(404);
      expect(answer.json).toEqual({ code: "unimplemented", message: expect.stringMatching(message) });
    }
  });

  it("is unimplemented for the clients of every protocol", async () => {
    const { web } = await startListening();
    const unknown = { ...WorkflowsService, typeName: "no.Service" };
    for (const [protocol, transport] of Object.entries(web)) {
      const method = { ...WorkflowsService.method.plain, parent: unknown };
      const call = transport.unary(method, undefined, undefined, undefined, {});
      expect((await rejection(call)).code, protocol).toBe(Code.Unimplemented);
    }
  });

  it("by another method or media type is told which to take", async () => {
    const { webPort } = await startListening();
    const put = await fetchWeb(webPort, plain, { method: "PUT" });
    expect([put.status, put.headers.allow]).toEqual([405, "POST"]);
    const form = await fetchWeb(webPort, plain, {
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: '{"text":"a"}',
    });
    expect(form.status).toBe(415);
    expect(form.json["message"]).toContain("send Content-Type: application/json");
    const stream = await fetchWeb(webPort, streaming, { body: "{}" });
    expect(stream.status).toBe(415);
    expect(stream.json["message"]).toContain("application/connect+json");
    expect(stream.json["message"]).toContain("StartRun");
  });

  it("is refused when its URL cannot be decoded, and the server goes on", async () => {
    const { webPort } = await startListening();
    const answer = await fetchWeb(webPort, "/%zz");
    expect(answer.status).toBe(400);
    expect(answer.json["code"]).toBe("invalid_argument");
    expect((await fetchWeb(webPort, plain, { body: "{}" })).status).toBe(200);
  });

  it("is refused when it is no HTTP", async () => {
    const { webPort } = await startListening();
    for (const bytes of [
      "GARBAGE\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "GET / HTTP/1.1\r\nhost: a\r\nx: \x01\x02\r\n\r\n",
    ]) {
      const socket = await openSocket(webPort);
      socket.write(bytes, "latin1");
      const answer = await readToEnd(socket);
      expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
      expect(answer).toContain('"this is no HTTP/1.1 request"');
    }
  });
});

describe("a call with odd headers", () => {
  it("is answered whatever host it names, and over HTTP/1.0 also without one", async () => {
    const { webPort } = await startListening();
    const odd = await openSocket(webPort);
    odd.write(jsonCall(plain, "{}", { host: "a b<>", connection: "close" }));
    expect(await readToEnd(odd)).toMatch(/^HTTP\/1\.1 403 /);
    for (const call of [
      jsonCall(plain, "{}", { host: "", connection: "close" }),
      jsonCall(plain, "{}", { connection: "close" }).replace("HTTP/1.1", "HTTP/1.0").replace("host: localhost\r\n", ""),
    ]) {
      const socket = await openSocket(webPort);
      socket.write(call);
      expect(await readToEnd(socket)).toMatch(/^HTTP\/1\.[01] 200 /);
    }
  });

  it("may have bytes in them that are no UTF-8, but not in a key", async () => {
    const { webPort } = await startListening();
    const call = async (headers: Record<string, string>) => {
      const socket = await openSocket(webPort);
      socket.write(jsonCall(plain, "{}", { ...headers, connection: "close" }), "latin1");
      return readToEnd(socket);
    };
    expect(await call({ "x-anything": "caf\xe9\xff" })).toMatch(/^HTTP\/1\.1 200 /);
    const refused = await call({ "idempotency-key": "caf\xe9" });
    expect(refused).toMatch(/^HTTP\/1\.1 400 /);
    expect(refused).toContain("printable ASCII");
  });

  it("may have a deadline that no timer holds", async () => {
    const { webPort } = await startListening();
    const warned = vi.fn();
    process.on("warning", warned);
    const connect = await fetchWeb(webPort, plain, {
      headers: { "content-type": "application/json", "connect-timeout-ms": "9999999999" },
      body: "{}",
    });
    expect(connect.status).toBe(200);
    const grpcWeb = await fetchWeb(webPort, plain, {
      headers: { "content-type": "application/grpc-web+proto", "grpc-timeout": "99999999H" },
      body: envelope(""),
    });
    expect(grpcWeb.body.toString()).toContain("grpc-status: 0");
    const malformed = await fetchWeb(webPort, plain, {
      headers: { "content-type": "application/json", "connect-timeout-ms": "soon" },
      body: "{}",
    });
    expect(malformed.json["code"]).toBe("invalid_argument");
    process.off("warning", warned);
    expect(warned).not.toHaveBeenCalled();
  });
});

describe("a call whose message cannot be decoded", () => {
  it.each([
    ["that is cut off", "{", "is no JSON", [""]],
    ["that is empty", "", "is no JSON", [""]],
    ["that is a list", "[]", "must be an object, not a list", [""]],
    ["of another type", '{"text":7}', "text: must be text", ["text"]],
    ["with a key twice", '{"text":"a","text":"b"}', "duplicate object key", [""]],
    ["that nests without end", `{"text":${"[".repeat(50_000)}`, "is no JSON", [""]],
  ])("names what is wrong with JSON %s", async (_, body, message, fields) => {
    const { webPort } = await startListening();
    const answer = await fetchWeb(webPort, plain, { body });
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ code: "invalid_argument", message: expect.stringContaining(message) });
    expect(answer.json["message"]).toContain("the request of retake.test.v1.WorkflowsService/Plain is no");
    const details = answer.json["details"] as { type: string; debug: { fieldViolations?: { field?: string }[] } }[];
    const violations = details.find(({ type }) => type === "google.rpc.BadRequest")?.debug.fieldViolations;
    expect(violations?.map(({ field = "" }) => field)).toEqual(fields);
  });

  it("is the caller's fault, by each protocol", async () => {
    const { webPort } = await startListening();
    const broken = Buffer.from([0x0a, 0xff]);
    const send = (path: string, type: string, body: Uint8Array) =>
      fetchWeb(webPort, path, { headers: { "content-type": type }, body });
    const connect = await send(plain, "application/proto", broken);
    expect([connect.status, connect.json["code"]]).toEqual([400, "invalid_argument"]);
    expect(connect.json["message"]).toContain("premature EOF");
    for (const path of [plain, streaming]) {
      const grpcWeb = await send(path, "application/grpc-web+proto", envelope(broken));
      expect(grpcWeb.body.toString()).toContain(`grpc-status: ${Code.InvalidArgument}`);
    }
    for (const [type, body] of [
      ["application/connect+proto", broken],
      ["application/connect+json", Buffer.from('{"updates":"x"}')],
    ] as const) {
      const stream = await send(streaming, type, envelope(body));
      expect(stream.body.toString()).toContain('"code":"invalid_argument"');
    }
    const cut = await send(plain, "application/grpc-web+proto", envelope("abc").subarray(0, 6));
    expect(cut.body.toString()).toContain(`grpc-status: ${Code.InvalidArgument}`);
  });

  it("is the caller's fault in a query, too", async () => {
    const { webPort } = await startListening();
    for (const query of [
      "encoding=json&message=%7B",
      "encoding=json&message=%7B%22runId%22%3A7%7D",
      "encoding=proto&base64=1&message=!!!",
      "encoding=proto&base64=1&message=Cv8",
    ]) {
      const answer = await fetchWeb(webPort, `${getRun}?${query}`, { method: "GET", headers: {} });
      expect([answer.status, answer.json["code"]], query).toEqual([400, "invalid_argument"]);
    }
    expect((await fetchWeb(webPort, getRun, { method: "GET", headers: {} })).status).toBe(415);
  });

  it("may have fields in JSON that the server does not know, as newer clients send", async () => {
    const { webPort } = await startListening();
    expect((await fetchWeb(webPort, plain, { body: '{"text":"a","newer":1}' })).json).toEqual({ text: "a" });
  });
});

describe("web pages of other origins", () => {
  const config = { web: { allowedOrigins: ["https://studio.example"] } };
  const preflight = (origin: string) => ({
    method: "OPTIONS",
    headers: {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "content-type,connect-protocol-version,x-studio",
    },
  });

  it("may call when they are allowed, with the headers that they need", async () => {
    const { webPort } = await startListening({}, { config });
    const origin = "https://studio.example";
    const asked = await fetchWeb(webPort, plain, preflight(origin));
    expect(asked.status).toBe(204);
    expect(asked.headers).toMatchObject({
      "access-control-allow-origin": origin,
      "access-control-allow-methods": "POST, GET",
      "access-control-allow-headers": "content-type,connect-protocol-version,x-studio",
      vary: "Origin",
    });
    const called = await fetchWeb(webPort, plain, {
      headers: { "content-type": "application/json", origin },
      body: "{}",
    });
    expect(called.status).toBe(200);
    expect(called.headers).toMatchObject({ "access-control-allow-origin": origin, vary: "Origin" });
    expect(called.headers["access-control-expose-headers"]).toContain("retake-run-id");
    const failed = await fetchWeb(webPort, plain, {
      headers: { "content-type": "application/json", origin },
      body: "{",
    });
    expect([failed.status, failed.headers["access-control-allow-origin"]]).toEqual([400, origin]);
  });

  it("get no leave when they are not, and caches know the difference", async () => {
    const { webPort } = await startListening({}, { config });
    for (const origin of ["https://evil.example", "https://studio.example.evil", "null"]) {
      const asked = await fetchWeb(webPort, plain, preflight(origin));
      expect(asked.status).not.toBe(204);
      expect(asked.headers).not.toHaveProperty("access-control-allow-origin");
      expect(asked.headers.vary).toBe("Origin");
    }
  });

  it("get no leave at all by default", async () => {
    const { webPort } = await startListening();
    const asked = await fetchWeb(webPort, plain, preflight("https://studio.example"));
    expect(asked.headers).not.toHaveProperty("access-control-allow-origin");
  });
});

describe("a caller that leaves", () => {
  it("ends its attached run, in a unary call and in a stream, before and after the first message", async () => {
    const started = [deferred(), deferred(), deferred()];
    const ended = [deferred(), deferred(), deferred()];
    const wait = async (index: number, signal: AbortSignal) => {
      started[index]?.resolve();
      await once(signal, "abort");
      ended[index]?.resolve();
      signal.throwIfAborted();
    };
    const server = await startListening({
      plain: async (_, context) => {
        await wait(0, context.signal);
        return {};
      },
      async *streaming({ updates }, context) {
        if (updates > 1) yield { update: { case: "preview", value: "seen" } };
        await wait(updates, context.signal);
      },
    });
    const unary = await openSocket(server.webPort);
    unary.write(jsonCall(plain, "{}"));
    await started[0]?.promise;
    unary.destroy();
    await ended[0]?.promise;
    for (const updates of [1, 2]) {
      const left = new AbortController();
      const workflows = createClient(WorkflowsService, server.web["gRPC-Web"]);
      const read = (async () => {
        for await (const _ of workflows.streaming({ updates }, { signal: left.signal })) {
          // Until it is aborted.
        }
      })();
      await started[updates]?.promise;
      left.abort();
      await rejection(read, Code.Canceled);
      await ended[updates]?.promise;
    }
    for (const { runId } of (await server.runs.listRuns({})).runs) {
      for await (const _ of server.runs.watchRun({ runId })) {
        // To its end.
      }
      expect((await server.runs.getRun({ runId })).run?.state).toBe(RunState.CANCELLED);
    }
    expect(server.log.filter(({ level }) => level === "error")).toEqual([]);
  });

  it("in the middle of its request is no news to anybody", async () => {
    const server = await startListening();
    for (const cut of [20, 120, -1]) {
      const socket = await openSocket(server.webPort);
      socket.write(jsonCall(plain, JSON.stringify({ text: "x".repeat(1000) })).slice(0, cut));
      socket.end();
      await readToEnd(socket);
    }
    const cutByReset = await openSocket(server.webPort);
    cutByReset.write(jsonCall(plain, "x".repeat(100_000)).slice(0, 50_000));
    cutByReset.resetAndDestroy();
    await once(cutByReset, "close");
    expect((await fetchWeb(server.webPort, plain, { body: "{}" })).status).toBe(200);
    expect(server.log.filter(({ level }) => level === "error")).toEqual([]);
  });
});

it("takes compressed requests, and answers compressed to those who ask for it", async () => {
  const server = await startListening();
  const { compressionGzip } = await import("@connectrpc/connect-node");
  const transport = createConnectTransport({
    baseUrl: `http://127.0.0.1:${server.webPort}`,
    httpVersion: "1.1",
    sendCompression: compressionGzip,
    acceptCompression: [compressionGzip],
  });
  const text = "again and ".repeat(1000);
  expect(await createClient(WorkflowsService, transport).plain({ text })).toMatchObject({ text });
  const malformed = await fetchWeb(server.webPort, plain, {
    headers: { "content-type": "application/json", "content-encoding": "gzip" },
    body: "this is no gzip",
  });
  expect(ConnectError.from(malformed.json["code"]).rawMessage).toBe("invalid_argument");
  const unknown = await fetchWeb(server.webPort, plain, {
    headers: { "content-type": "application/json", "content-encoding": "zebra" },
    body: "{}",
  });
  expect(unknown.json["code"]).toBe("unimplemented");
});

it("answers what there is no run for as over gRPC", async () => {
  const server = await startListening();
  const answer = await fetchWeb(server.webPort, getRun, { body: JSON.stringify({ runId: unknownId }) });
  expect(answer.status).toBe(404);
  expect(answer.json).toMatchObject({ code: "not_found" });
});
