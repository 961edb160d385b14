import { once } from "node:events";
import { type ClientHttp2Session, connect, constants, type Http2Session } from "node:http2";
import { create, createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, createClient } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.js";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "../../gen/grpc/health/v1/health_pb.js";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionV1Alpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { framesIn, RawHttp2Connection } from "../transport/raw-http2.ts";
import { deferred, rejection } from "./harness.ts";
import { importsFirst } from "./imports-first.ts";
import { everyTransport, openSocket, readToEnd, startListening } from "./listening-server.ts";

const plain = `/${WorkflowsService.typeName}/Plain`;
const streaming = `/${WorkflowsService.typeName}/Streaming`;
const second = { seconds: 1n };
const unknownId = "018f0000-0000-7000-8000-000000000000";

/** An HTTP/2 client that has nothing of gRPC, on a connection of its own. */
async function openSession(port: number): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on("error", () => undefined);
  onTestFinished(() => session.destroy());
  await once(session, "remoteSettings");
  return session;
}

/** A call with one message; resolves with its grpc-status once that has come. */
async function callOn(session: ClientHttp2Session, path: string, message = Buffer.alloc(0)): Promise<string> {
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    te: "trailers",
    "content-type": "application/grpc",
  });
  let status: unknown;
  stream.on("response", (headers) => {
    status = headers["grpc-status"] ?? status;
  });
  stream.on("trailers", (headers) => {
    status = headers["grpc-status"];
  });
  stream.resume();
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([head, message]));
  await once(stream, "close");
  return String(status);
}

async function collect<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const message of messages) all.push(message);
  return all;
}

describe("the gRPC port", () => {
  it("serves every service and every contract", async () => {
    const { workflows, runs, grpc } = await startListening({
      async *streaming() {
        yield { update: { case: "line", value: "one" } };
        yield { update: { case: "result", value: "two" } };
      },
    });
    expect(await workflows.plain({ text: "a" })).toMatchObject({ text: "a" });
    const messages: unknown[] = [];
    for await (const { update } of workflows.streaming({})) messages.push(update.value);
    expect(messages).toEqual(["one", "two"]);
    expect((await runs.listRuns({})).runs).toHaveLength(2);
    const health = createClient(Health, grpc);
    for (const service of ["", RunService.typeName, WorkflowsService.typeName]) {
      expect((await health.check({ service })).status, service).toBe(ServingStatus.SERVING);
    }
  });

  it("describes all of it to a client that has never seen it", async () => {
    const { grpc } = await startListening();
    for (const version of [ServerReflection, ServerReflectionV1Alpha] as (typeof ServerReflection)[]) {
      const asked = [
        { messageRequest: { case: "listServices", value: "" } },
        { messageRequest: { case: "fileContainingSymbol", value: WorkflowsService.typeName } },
      ] as const;
      const answers = await collect(
        createClient(version, grpc).serverReflectionInfo(
          (async function* () {
            yield* asked;
          })(),
        ),
      );
      const [listed, described] = answers.map(({ messageResponse }) => messageResponse);
      expect(listed?.case === "listServicesResponse" && listed.value.service.map(({ name }) => name)).toEqual(
        expect.arrayContaining([
          "grpc.health.v1.Health",
          "grpc.reflection.v1.ServerReflection",
          "grpc.reflection.v1alpha.ServerReflection",
          RunService.typeName,
          WorkflowsService.typeName,
        ]),
      );
      if (described?.case !== "fileDescriptorResponse") throw new Error("there is no description");
      const file = described.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
      const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: importsFirst(file) }));
      const found = registry.getService(WorkflowsService.typeName);
      if (found?.method["plain"] === undefined) throw new Error("the contract is not complete");
      // With nothing but the description, it can be called.
      const answer = await grpc.unary(found.method["plain"] as never, undefined, undefined, undefined, {
        text: "a",
      } as never);
      expect(answer.message).toMatchObject({ text: "a" });
    }
  });

  it("describes nothing where that is switched off", async () => {
    const { grpc } = await startListening({}, { config: { grpc: { reflection: false } } });
    for (const version of [ServerReflection, ServerReflectionV1Alpha] as (typeof ServerReflection)[]) {
      const answers = createClient(version, grpc).serverReflectionInfo((async function* () {})());
      await rejection(collect(answers), Code.Unimplemented);
    }
  });

  it("tells an unknown method and service UNIMPLEMENTED", async () => {
    const { grpcPort } = await startListening();
    const session = await openSession(grpcPort);
    for (const path of [`/${WorkflowsService.typeName}/Plian`, "/no.Service/Plain", "/", "/plain"]) {
      expect(await callOn(session, path), path).toBe(String(Code.Unimplemented));
    }
  });
});

describe("the gRPC port limits", () => {
  it("the calls at once on one connection, also for those who do not look at the limit", async () => {
    const gate = deferred();
    let working = 0;
    const { grpcPort } = await startListening(
      {
        plain: async () => {
          working += 1;
          await gate.promise;
          return {};
        },
      },
      { config: { grpc: { limits: { maxStreamsPerConnection: 2 } } } },
    );
    const session = await openSession(grpcPort);
    expect(session.remoteSettings.maxConcurrentStreams).toBe(2);
    const connection = await RawHttp2Connection.open(grpcPort, 100_000);
    onTestFinished(() => void connection.socket.destroy());
    const refused = (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of connection.socket) {
        chunks.push(chunk as Buffer);
        const reset = framesIn(Buffer.concat(chunks)).find(({ type }) => type === 3);
        if (reset !== undefined) return [reset.stream, reset.payload.readUInt32BE()];
      }
      throw new Error("nothing was refused");
    })();
    for (let call = 0; call < 3; call++) connection.call(plain);
    expect(await refused).toEqual([5, constants.NGHTTP2_REFUSED_STREAM]);
    await expect.poll(() => working).toBe(2);
    gate.resolve();
  });

  it("the number of connections: one more is closed", async () => {
    const { grpcPort } = await startListening({}, { config: { grpc: { limits: { maxConnections: 1 } } } });
    const session = await openSession(grpcPort);
    expect(await readToEnd(await openSocket(grpcPort))).toBe("");
    expect(await callOn(session, plain)).toBe("0");
  });

  it("the bytes of metadata", async () => {
    const { workflows } = await startListening({}, { config: { grpc: { limits: { maxMetadataBytes: 2048 } } } });
    await workflows.plain({}, { headers: { "x-filling": "x".repeat(1500) } });
    const error = await rejection(
      workflows.plain({}, { headers: { "x-filling": "x".repeat(2500) } }),
      Code.ResourceExhausted,
    );
    expect(error.rawMessage).toContain("2048");
  });

  it("the bytes of a message, either way", async () => {
    const { workflows } = await startListening(
      { plain: ({ text }) => ({ text: text.length < 10 ? "x".repeat(Number(text)) : "" }) },
      { config: { grpc: { limits: { maxMessageBytes: 2000 } } } },
    );
    await workflows.plain({ text: "x".repeat(1997) });
    await rejection(workflows.plain({ text: "x".repeat(1998) }), Code.ResourceExhausted);
    expect((await workflows.plain({ text: "1997" })).text).toHaveLength(1997);
    const error = await rejection(workflows.plain({ text: "1998" }), Code.ResourceExhausted);
    expect(error.rawMessage).toContain("return a reference to it instead");
  });

  it("the memory that HTTP/2 holds for one connection", async () => {
    const text = "x".repeat(900_000);
    const { grpcPort } = await startListening(
      { plain: () => ({ text }) },
      { config: { grpc: { limits: { maxMessageBytes: 1_000_000, maxSessionMemoryMegabytes: 1 } } } },
    );
    // No window: nothing of any answer can leave.
    const connection = await RawHttp2Connection.open(grpcPort, 0);
    onTestFinished(() => void connection.socket.destroy());
    const refused = (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of connection.socket) {
        chunks.push(chunk as Buffer);
        for (const { type, payload } of framesIn(Buffer.concat(chunks))) {
          if (type === 3) return payload.readUInt32BE();
          // A whole connection that goes away would be a refusal as well, with the code behind the last stream.
          if (type === 7) return payload.readUInt32BE(4);
          // Headers of one more answer: the next call.
        }
        connection.call(plain);
      }
      throw new Error("the connection was closed");
    })();
    connection.call(plain);
    expect(await refused).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  });

  it("the age of a connection, but not that of its open calls", async () => {
    const gate = deferred();
    const { grpcPort } = await startListening(
      {
        plain: async () => {
          await gate.promise;
          return {};
        },
      },
      { config: { grpc: { limits: { maxConnectionAge: second } } } },
    );
    const session = await openSession(grpcPort);
    const called = callOn(session, plain);
    const [code] = await once(session, "goaway");
    expect(code).toBe(constants.NGHTTP2_NO_ERROR);
    gate.resolve();
    expect(await called).toBe("0");
    if (!session.closed || !session.destroyed) await once(session, "close");
  });

  it("the time that a connection stays without a call", async () => {
    const { grpcPort } = await startListening({}, { config: { grpc: { limits: { maxConnectionIdle: second } } } });
    const session = await openSession(grpcPort);
    expect(await callOn(session, plain)).toBe("0");
    await once(session, "close");
  });

  it("the time that a ping stays without an answer", async () => {
    const { grpcPort } = await startListening(
      {},
      { config: { grpc: { limits: { keepaliveTime: second, keepaliveTimeout: second } } } },
    );
    // Neither answers: the one does not even speak HTTP/2.
    const silent = await openSocket(grpcPort);
    const { socket } = await RawHttp2Connection.open(grpcPort, 100_000);
    const [, frames] = await Promise.all([readToEnd(silent), readToEnd(socket)]);
    expect(framesIn(Buffer.from(frames, "latin1")).map(({ type }) => type)).toContain(6);
  });

  it("nothing at once where the configuration says years", async () => {
    const warned = vi.fn();
    process.on("warning", warned);
    const year = { seconds: 31_536_000n };
    const limits = { maxConnectionAge: year, maxConnectionIdle: year, keepaliveTime: { seconds: 86_400n } };
    const { grpcPort } = await startListening({}, { config: { grpc: { limits } } });
    const session: Http2Session = await openSession(grpcPort);
    const gone = vi.fn();
    session.on("goaway", gone);
    for (let call = 0; call < 20; call++) {
      expect(await callOn(session as ClientHttp2Session, plain)).toBe("0");
    }
    process.off("warning", warned);
    expect(gone).not.toHaveBeenCalled();
    expect(warned).not.toHaveBeenCalled();
  });
});

describe("an abandoned reader of the gRPC port", () => {
  it("costs its run when it goes, and no event before", async () => {
    const ended = deferred();
    const text = "x".repeat(1_000_000);
    let started = 0;
    const server = await startListening({
      async *streaming(_, context) {
        started += 1;
        if (started === 20) ended.resolve();
        yield { update: { case: "preview", value: text } };
        await once(context.signal, "abort");
        context.signal.throwIfAborted();
      },
    });
    const connection = await RawHttp2Connection.open(server.grpcPort, 0);
    for (let call = 0; call < 20; call++) connection.call(streaming);
    await ended.promise;
    expect(await server.workflows.plain({ text: "others go on" })).toMatchObject({ text: "others go on" });
    connection.socket.destroy();
    const { runs } = await server.runs.listRuns({ workflow: streaming.slice(1) });
    expect(runs).toHaveLength(20);
    for (const { runId } of runs) {
      const events: (string | undefined)[] = [];
      for await (const { update } of server.runs.watchRun({ runId })) {
        if (update.case === "event") events.push(update.value.event.case);
      }
      expect(events.at(-1)).toBe("cancelled");
    }
  });
});

describe("bad input", () => {
  it("is refused alike on every way in, with every violation", async () => {
    const server = await startListening();
    for (const [name, transport] of everyTransport(server)) {
      const runs = createClient(RunService, transport);
      const workflows = createClient(WorkflowsService, transport);
      const error = await rejection(
        runs.listRuns({ pageSize: -1, parentRunId: "x", pageToken: "x".repeat(2000), states: [0] }),
        Code.InvalidArgument,
      );
      const fields = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
      expect(fields.map(({ field }) => field).toSorted(), name).toEqual([
        "page_size",
        "page_token",
        "parent_run_id",
        "states[0]",
      ]);
      const own = await rejection(workflows.flaky({ failures: 101 }), Code.InvalidArgument);
      expect(own.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field, name).toBe("failures");
      await rejection(runs.getRun({ runId: unknownId }), Code.NotFound);
      await rejection(runs.getRun({ runId: "nonsense" }), Code.InvalidArgument);
      await rejection(runs.listRuns({ pageToken: "nonsense" }), Code.InvalidArgument);
      const unknown = await rejection(runs.startRun({ workflow: `${plain.slice(1)}s` }), Code.NotFound);
      expect(unknown.rawMessage, name).toContain(`Did you mean "${plain.slice(1)}"?`);
      const { run } = await runs.startRun({ workflow: plain.slice(1) });
      const runId = run?.runId ?? "";
      for (const afterSequence of [1000n, 2n ** 60n]) {
        await rejection(collect(runs.watchRun({ runId, afterSequence })), Code.OutOfRange);
      }
      await rejection(collect(runs.watchRun({ runId: unknownId })), Code.NotFound);
    }
    expect(server.log.filter(({ level }) => level === "error")).toEqual([]);
  });

  it("that is no message is the caller's fault", async () => {
    const { grpcPort } = await startListening();
    const session = await openSession(grpcPort);
    expect(await callOn(session, plain, Buffer.from([0x0a, 0xff]))).toBe(String(Code.InvalidArgument));
  });

  it("in a key is refused", async () => {
    const { workflows } = await startListening();
    await rejection(workflows.plain({}, { headers: { "idempotency-key": "k".repeat(257) } }), Code.InvalidArgument);
  });
});
