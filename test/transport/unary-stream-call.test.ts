import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import type { ServerHttp2Stream } from "node:http2";
import { setImmediate } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { Server } from "@grpc/grpc-js";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { addConnectService, listenGrpc, peerKey } from "../../src/transport/index.ts";
import { TransportService, UnaryRequestSchema } from "../gen/retake/test/v1/transport_pb.js";
import { until } from "../until.ts";
import { RawHttp2Connection } from "./raw-http2.ts";
import type { TestImplementation } from "./transport-contract.ts";

const unary = `/${TransportService.typeName}/Unary`;

async function open(implementation: TestImplementation) {
  const server = new Server({ "grpc.enable_channelz": 0 });
  addConnectService(server, TransportService, implementation);
  const listener = await listenGrpc(server, { host: "127.0.0.1", port: 0 });
  onTestFinished(() => listener.destroy());
  const connect = async () => {
    const connection = await RawHttp2Connection.open(listener.port, 1_000_000);
    connection.socket.resume();
    onTestFinished(() => void connection.socket.destroy());
    return connection;
  };
  return { listener, connect };
}

describe("a unary call that is given up with its whole message sent, but not its end", () => {
  test("is not served when it is reset", async () => {
    const unaryCall = vi.fn(() => ({}));
    const { connect } = await open({ unary: unaryCall });
    const connection = await connect();
    for (let call = 0; call < 20; call++) connection.socket.write(connection.resetFrames(unary, Buffer.alloc(5)));
    connection.call(unary);
    await until(() => unaryCall.mock.calls.length > 0);
    await setImmediate();
    expect(unaryCall).toHaveBeenCalledOnce();
  });

  test("is not served when its connection is lost", async () => {
    const unaryCall = vi.fn(() => ({}));
    const { listener, connect } = await open({ unary: unaryCall });
    const connection = await connect();
    const { bytes } = connection.callFrames(unary, {}, { body: Buffer.alloc(5), ends: false });
    connection.socket.write(bytes);
    connection.call(unary);
    await until(() => unaryCall.mock.calls.length > 0);
    connection.socket.destroy();
    await until(() => listener.connections === 0);
    await setImmediate();
    expect(unaryCall).toHaveBeenCalledOnce();
  });
});

test.each([0, 1, 59, 60, 61, 200])("a request of %i bytes that comes byte by byte is the same", async (length) => {
  const received = Promise.withResolvers<string>();
  const { connect } = await open({
    unary({ text }) {
      received.resolve(text);
      return {};
    },
  });
  const text = Array.from({ length }, (_, at) => String.fromCharCode(97 + (at % 26))).join("");
  const message = toBinary(UnaryRequestSchema, create(UnaryRequestSchema, { text }));
  const body = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);
  const connection = await connect();
  const { stream, bytes } = connection.callFrames(unary, {}, { body: undefined, ends: false });
  connection.socket.write(bytes);
  for (const byte of body) connection.data(stream, Buffer.of(byte));
  connection.endData(stream);
  expect(await received.promise).toBe(text);
});

test("a call knows its caller's address after the connection is lost", async () => {
  const started = Promise.withResolvers<void>();
  const known = Promise.withResolvers<string>();
  const { connect } = await open({
    async unary(_, { signal, values }) {
      started.resolve();
      await once(signal, "abort");
      known.resolve(values.get(peerKey)?.address ?? "");
      return {};
    },
  });
  const connection = await connect();
  const { localPort } = connection.socket;
  connection.call(unary);
  await started.promise;
  connection.socket.destroy();
  expect(await known.promise).toBe(`127.0.0.1:${localPort}`);
});

test.each([
  ["is refused", () => Promise.reject(new ConnectError("no room", Code.ResourceExhausted, { "x-why": "full" }))],
  ["is answered", async () => ({})],
])("a call that %s leaves nothing of its answer on its stream, which Node keeps for long", async (_, answer) => {
  const { connect } = await open({ unary: answer });
  const streams: ServerHttp2Stream[] = [];
  const note = (message: unknown): void => void streams.push((message as { stream: ServerHttp2Stream }).stream);
  subscribe(created, note);
  onTestFinished(() => void unsubscribe(created, note));
  const connection = await connect();
  connection.call(unary);
  await until(() => streams[0]?.closed);
  expect(streams[0]?.headersSent).toBe(true);
  await until(() => streams[0]?.eventNames().length === 0);
  expect(Object.keys(streams[0]?.sentHeaders ?? {})).toEqual([]);
});

const created = "http2.server.stream.created";
