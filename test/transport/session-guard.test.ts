import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { Code, type ConnectError, createClient } from "@connectrpc/connect";
import { Server } from "@grpc/grpc-js";
import { describe, expect, onTestFinished, test } from "vitest";
import { createVirtualClock, type VirtualClock } from "../../src/testing/virtual-clock.ts";
import { type AbuseLimits, addConnectService, createGrpcTransport, listenGrpc } from "../../src/transport/index.ts";
import { Sources, sourceOf } from "../../src/transport/sources.ts";
import { TransportService } from "../gen/retake/test/v1/transport_pb.js";
import { until, untilNoError } from "../until.ts";
import { serverCertificate, serverKey } from "./certificates.ts";
import { framesIn, RawHttp2Connection } from "./raw-http2.ts";
import type { TestImplementation } from "./transport-contract.ts";

const unary = `/${TransportService.typeName}/Unary`;
const serverStream = `/${TransportService.typeName}/ServerStream`;
const clientStream = `/${TransportService.typeName}/ClientStream`;
const never = new Promise<never>(() => undefined);
const enhanceYourCalm = 11;
const limits = {
  maxConnections: 10,
  resetsPerSecond: 5,
  controlFramesPerSecond: 10,
  penaltyMs: 10_000,
  stallTimeoutMs: 60_000,
} satisfies Omit<AbuseLimits, "clock">;

async function listen(implementation: TestImplementation, own: Partial<AbuseLimits> = {}, tls = false) {
  const clock = createVirtualClock();
  const server = new Server({ "grpc.enable_channelz": 0 });
  addConnectService(server, TransportService, implementation);
  const abuse = { ...limits, clock, ...own };
  const listener = await listenGrpc(server, {
    ...{ host: "127.0.0.1", port: 0, abuse },
    ...(tls && { tls: { certificate: Buffer.from(serverCertificate), key: Buffer.from(serverKey) } }),
  });
  onTestFinished(() => listener.destroy());
  return { clock, port: listener.port, listener };
}

async function open(port: number, windowBytes = 1_000_000) {
  const connection = await RawHttp2Connection.open(port, windowBytes);
  const received: Buffer[] = [];
  connection.socket.on("data", (chunk) => received.push(chunk as Buffer));
  onTestFinished(() => void connection.socket.destroy());
  const frames = (type: number) => framesIn(Buffer.concat(received)).filter((frame) => frame.type === type);
  return {
    connection,
    closed: () => closedOf(connection.socket),
    /** The codes by which calls were reset. */
    resets: () => frames(3).map(({ payload }) => payload.readUInt32BE(0)),
    goaway: () => frames(7).map(({ payload }) => payload.readUInt32BE(4)),
    answered: () => frames(1).length,
  };
}

async function closedOf(socket: Socket): Promise<void> {
  if (!socket.closed) await once(socket, "close");
}

/** Whether a new connection is served. */
async function isServed(port: number): Promise<boolean> {
  const { connection, answered } = await open(port);
  connection.call(unary);
  await until(() => connection.socket.closed || answered() > 0);
  return !connection.socket.closed;
}

/** Lets a minute and a half pass, as the sweeps see it. */
async function pass(clock: VirtualClock, ms: number): Promise<void> {
  for (let at = 0; at < ms; at += 15_000) {
    await clock.advance(15_000);
    await setImmediate();
  }
}

describe("a source that resets calls", () => {
  test("in masses is told to calm down, and gets no new connection for a while", async () => {
    const { clock, port } = await listen({ unary: () => ({ text: "served" }) });
    const attacker = await open(port);
    attacker.connection.reset(unary, 101);
    await attacker.closed();
    expect(attacker.goaway()).toContain(enhanceYourCalm);
    expect(await isServed(port)).toBe(false);
    await clock.advance(9_000);
    expect(await isServed(port)).toBe(false);
    await clock.advance(1_000);
    expect(await isServed(port)).toBe(true);
  });

  test("over many connections is one source", async () => {
    const { port } = await listen({ unary: () => ({ text: "served" }) });
    const attackers = await Promise.all([open(port), open(port), open(port)]);
    for (const { connection } of attackers) connection.reset(unary, 40);
    await Promise.race(attackers.map(({ closed }) => closed()));
    expect(await isServed(port)).toBe(false);
  });

  test("now and then is served", async () => {
    const { clock, port } = await listen({ unary: () => ({ text: "served" }) });
    const { connection, answered } = await open(port);
    for (let round = 0; round < 5; round++) {
      connection.reset(unary, 90);
      connection.call(unary);
      await until(() => answered() > round);
      await clock.advance(20_000);
    }
    expect(connection.socket.closed).toBe(false);
  });

  test("by dying with many open calls may come back", async () => {
    const { port } = await listen({ unary: () => never });
    const { connection } = await open(port);
    for (let call = 0; call < 300; call++) connection.call(unary);
    await setImmediate();
    connection.socket.destroy();
    await closedOf(connection.socket);
    const other = await open(port);
    other.connection.ping(1);
    await new Promise<void>((resolve) => other.connection.socket.once("data", () => resolve()));
    expect(other.connection.socket.closed).toBe(false);
  });
});

describe("a source that floods the server", () => {
  test.each(["ping", "settings"] as const)("with %s frames is told to calm down", async (kind) => {
    const { port } = await listen({ unary: () => ({ text: "served" }) });
    const { connection, closed, goaway } = await open(port);
    connection[kind](190);
    connection.call(unary);
    connection[kind](30);
    await closed();
    expect(goaway()).toContain(enhanceYourCalm);
  });
});

describe("connections of one source", () => {
  test.each([false, true])("above the limit are closed at once, with TLS: %s", async (tls) => {
    const { port, listener } = await listen({}, { maxConnections: 2 }, tls);
    const first = connect(port, "127.0.0.1");
    const second = connect(port, "127.0.0.1");
    const third = connect(port, "127.0.0.1");
    const elsewhere = connect({ port, host: "127.0.0.1", localAddress: "127.0.0.9" });
    const sockets = [first, second, third, elsewhere];
    onTestFinished(() => sockets.forEach((socket) => void socket.on("error", () => undefined).destroy()));
    await closedOf(third);
    await until(() => listener.connections === 3);
    expect(sockets.map(({ closed }) => closed)).toEqual([false, false, true, false]);
    first.destroy();
    await until(() => listener.connections === 2);
    const fourth = connect(port, "127.0.0.1");
    sockets.push(fourth);
    await until(() => listener.connections === 3);
  });
});

describe("a call that gets nowhere", () => {
  const half = Buffer.from([0, 0, 0, 0, 9, 1]);

  test("because its request does not come is reset after the time-out", async () => {
    const { clock, port } = await listen({ unary: () => ({ text: "served" }) });
    const { connection, resets } = await open(port);
    connection.socket.write(connection.callFrames(unary, {}, { body: half, ends: false }).bytes);
    await pass(clock, 60_000);
    expect(resets()).toEqual([]);
    await pass(clock, 30_000);
    await until(() => resets().length > 0);
    expect(resets()).toEqual([enhanceYourCalm]);
    expect(connection.socket.closed).toBe(false);
  });

  test("because its answer is not read is reset after the time-out", async () => {
    const { clock, port } = await listen({
      async *serverStream() {
        for (;;) yield { text: "x".repeat(10_000) };
      },
    });
    const { connection, resets, answered } = await open(port, 100);
    connection.call(serverStream);
    await until(() => answered() > 0);
    await pass(clock, 90_000);
    await until(() => resets().length > 0);
    expect(resets()).toEqual([enhanceYourCalm]);
  });

  test("because the server works is left alone", async () => {
    const { clock, port } = await listen({ unary: () => never });
    const { connection, resets } = await open(port);
    connection.call(unary);
    await setImmediate();
    await pass(clock, 600_000);
    connection.ping(1);
    await new Promise<void>((resolve) => connection.socket.once("data", () => resolve()));
    expect(resets()).toEqual([]);
  });

  test("is none while messages of a streamed request come", async () => {
    const read: string[] = [];
    const { clock, port } = await listen({
      async clientStream(requests) {
        for await (const { text } of requests) read.push(text);
        return { text: String(read.length) };
      },
    });
    const { connection, resets } = await open(port);
    const { stream, bytes } = connection.callFrames(clientStream, {}, { body: Buffer.alloc(5), ends: false });
    connection.socket.write(bytes);
    for (let message = 1; message <= 4; message++) {
      await until(() => read.length === message);
      await pass(clock, 45_000);
      connection.data(stream, Buffer.alloc(5));
    }
    expect(resets()).toEqual([]);
    await until(() => read.length === 5);
    await pass(clock, 90_000);
    await until(() => resets().length > 0);
    expect(resets()).toEqual([enhanceYourCalm]);
  });
});

describe("a unary request that takes long to come", () => {
  const size = 500_000;
  const head = Buffer.alloc(5);
  head.writeUInt32BE(size, 1);

  /** Sends so much of it in each of 20 seconds, with a time-out of 4 s. */
  async function upload(bytesPerSecond: number) {
    const { clock, port } = await listen({ unary: () => ({}) }, { stallTimeoutMs: 4000 });
    const { connection, resets } = await open(port);
    const { stream, bytes } = connection.callFrames(unary, {}, { body: head, ends: false });
    connection.socket.write(bytes);
    for (let second = 0; second < 20 && resets().length === 0; second++) {
      for (let left = bytesPerSecond; left > 0; left -= 16_384) {
        connection.data(stream, Buffer.alloc(Math.min(left, 16_384)));
      }
      // It is answered after what came before.
      connection.ping(1);
      await new Promise<void>((resolve) => connection.socket.once("data", () => resolve()));
      await setImmediate();
      await clock.advance(1000);
    }
    return resets;
  }

  test("is left alone as long as it comes at the slowest pace", async () => {
    expect((await upload(17_000))()).toEqual([]);
  });

  test("is reset when it trickles in", async () => {
    const resets = await upload(1000);
    await until(() => resets().length > 0);
    expect(resets()).toEqual([enhanceYourCalm]);
  });
});

describe("requests that are on their way", () => {
  const large = "x".repeat(60_000);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(60_000, 1);

  async function sending(parts: readonly Buffer[]) {
    const { port } = await listen(
      { unary: ({ text }) => ({ text: String(text.length) }) },
      { maxUnsentBytes: 100_000 },
    );
    const { connection } = await open(port);
    const { stream, bytes } = connection.callFrames(unary, {}, { body: head, ends: false });
    connection.socket.write(bytes);
    for (const part of parts) connection.data(stream, part);
    connection.ping(1);
    await setImmediate();
    const transport = createGrpcTransport({ target: `localhost:${port}` });
    onTestFinished(() => transport.close());
    return { connection, client: createClient(TransportService, transport) };
  }

  test.each([
    ["with their whole size", [Buffer.alloc(16_384), Buffer.alloc(1)]],
    ["in the smallest parts too", Array.from({ length: 70 }, () => Buffer.alloc(1))],
  ])("count %s, until they are served or given up", async (_, parts) => {
    const { connection, client } = await sending(parts);
    const refused = await until(() =>
      client.unary({ text: large }).then(
        () => undefined,
        (error: ConnectError) => error,
      ),
    );
    expect(refused.code).toBe(Code.ResourceExhausted);
    expect(refused.rawMessage).toContain("on its way");
    expect((await client.unary({ text: "small" })).text).toBe("5");
    connection.socket.destroy();
    await untilNoError(async () => expect((await client.unary({ text: large })).text).toBe("60000"));
    for (let call = 0; call < 10; call++) expect((await client.unary({ text: large })).text).toBe("60000");
  });
});

describe("messages that grpc-js puts together", () => {
  const large = Buffer.alloc(60_000, 1);
  const framed = (message: Buffer, flag = 0): Buffer => {
    const head = Buffer.alloc(5);
    head.writeUInt8(flag);
    head.writeUInt32BE(message.length, 1);
    return Buffer.concat([head, message]);
  };
  const gzipped = gzipSync(randomBytes(60_000));

  /** Sends a message but for its last byte. */
  async function sending(port: number, path: string, parts: readonly Buffer[]) {
    const sender = await open(port);
    const headers = path === unary ? { "grpc-encoding": "gzip" } : {};
    const { stream, bytes } = sender.connection.callFrames(path, headers, { body: undefined, ends: false });
    sender.connection.socket.write(bytes);
    for (const part of parts) sender.connection.data(stream, part);
    await setImmediate();
    return sender;
  }
  const inParts = (bytes: Buffer, size: number) =>
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
      bytes.subarray(index * size, (index + 1) * size),
    );

  test.each([
    ["of streamed requests", clientStream, inParts(framed(large).subarray(0, -1), 16_384)],
    ["of streamed requests, in the smallest parts", clientStream, inParts(framed(large).subarray(0, 100), 1)],
    [
      "behind a small one",
      clientStream,
      inParts(Buffer.concat([framed(Buffer.from([0x0a, 0])), framed(large)]).subarray(0, -1), 16_384),
    ],
    ["of compressed requests", unary, inParts(framed(gzipped, 1).subarray(0, -1), 16_384)],
  ])("count %s with their whole size, until they are there or given up", async (_, path, parts) => {
    const { port } = await listen(
      {
        unary: () => never,
        clientStream: async (messages) => {
          let text = "";
          for await (const message of messages) text += message.text.length;
          return { text };
        },
      },
      { maxUnsentBytes: 100_000 },
    );
    const first = await sending(port, path, parts);
    await untilNoError(async () => {
      const second = await sending(port, path, parts);
      await until(() => second.resets().length > 0, { timeout: 300 });
      expect(second.resets()).toEqual([enhanceYourCalm]);
      second.connection.socket.destroy();
    });
    expect(first.resets()).toEqual([]);
    first.connection.socket.destroy();
    const transport = createGrpcTransport({ target: `localhost:${port}` });
    onTestFinished(() => transport.close());
    const client = createClient(TransportService, transport);
    const uploaded = async () => {
      const messages = (async function* () {
        for (let message = 0; message < 10; message++) yield { text: "x".repeat(60_000) };
      })();
      return (await client.clientStream(messages)).text;
    };
    await untilNoError(async () => expect(await uploaded()).toBe("60000".repeat(10)));
  });
});

test("a request that is served past its deadline is counted off once", async () => {
  const { port } = await listen({ unary: () => never }, { maxUnsentBytes: 100_000 });
  const transport = createGrpcTransport({ target: `localhost:${port}` });
  onTestFinished(() => transport.close());
  const client = createClient(TransportService, transport);
  const codeOf = (text: string, timeoutMs: number) =>
    client.unary({ text }, { timeoutMs }).catch(({ code }: ConnectError) => code);
  expect(await codeOf("x".repeat(60_000), 100)).toBe(Code.DeadlineExceeded);
  await untilNoError(async () => expect(await codeOf("x".repeat(120_000), 100)).toBe(Code.ResourceExhausted));
});

describe("answers that are left unread", () => {
  const large = "x".repeat(60_000);

  test("are refused once there are too many, and sent again when the caller has gone", async () => {
    const { port } = await listen({ unary: () => ({ text: large }) }, { maxUnsentBytes: 100_000 });
    const reader = await open(port, 0);
    reader.connection.call(unary);
    reader.connection.call(unary);
    // Headers of the first, and the status of the second: that takes no window.
    await until(() => reader.answered() >= 2);
    const transport = createGrpcTransport({ target: `localhost:${port}` });
    onTestFinished(() => transport.close());
    const client = createClient(TransportService, transport);
    const refused = await client.unary({}).then(
      () => expect.unreachable(),
      (error: ConnectError) => error,
    );
    expect(refused.code).toBe(Code.ResourceExhausted);
    expect(refused.rawMessage).toContain("left unread");
    reader.connection.socket.destroy();
    await untilNoError(async () => expect((await client.unary({})).text).toBe(large));
    for (let call = 0; call < 10; call++) expect((await client.unary({})).text).toBe(large);
  });

  test("end a stream, and not one that is read", async () => {
    const { port } = await listen(
      {
        async *serverStream({ count }) {
          for (let index = 0; index < count; index++) yield { text: large };
        },
      },
      { maxUnsentBytes: 50_000 },
    );
    const transport = createGrpcTransport({ target: `localhost:${port}` });
    onTestFinished(() => transport.close());
    const reader = await open(port, 0);
    reader.connection.call(serverStream, {}, Buffer.from([0, 0, 0, 0, 2, 0x10, 5]));
    await until(() => reader.resets().length > 0);
    expect(reader.resets()).toEqual([enhanceYourCalm]);
    const other = await listen(
      {
        async *serverStream({ count }) {
          for (let index = 0; index < count; index++) yield { text: large };
        },
      },
      { maxUnsentBytes: 70_000 },
    );
    const reading = createGrpcTransport({ target: `localhost:${other.port}` });
    onTestFinished(() => reading.close());
    let read = 0;
    for await (const { text } of createClient(TransportService, reading).serverStream({ count: 20 }))
      read += text.length;
    expect(read).toBe(20 * large.length);
  });
});

test("a source that leaves much unread gets no more streams until it has read half of it", async () => {
  let begun = 0;
  const { port } = await listen(
    {
      async *serverStream() {
        begun++;
        yield { text: "x".repeat(40_000) };
        await never;
      },
    },
    { maxUnsentBytes: 100_000 },
  );
  const reader = await open(port, 0);
  for (let call = 0; call < 3; call++) reader.connection.call(serverStream);
  await until(() => reader.resets().length === 1);
  for (let call = 0; call < 20; call++) reader.connection.call(serverStream);
  await until(() => reader.resets().length === 21);
  expect(begun).toBe(3);
  reader.connection.socket.destroy();
  const transport = createGrpcTransport({ target: `localhost:${port}` });
  onTestFinished(() => transport.close());
  await untilNoError(async () => {
    for await (const { text } of createClient(TransportService, transport).serverStream({})) {
      expect(text).toHaveLength(40_000);
      break;
    }
  });
});

test("all sources together hold no more than they may", () => {
  const limits = { maxConnections: 1, maxUnsentBytes: 100, maxUnsentBytesInAll: 150 };
  const sources = new Sources(limits, createVirtualClock());
  const admit = (remoteAddress: string) => sources.admit({ remoteAddress, once: () => undefined } as unknown as Socket);
  const [first, second] = [admit("10.0.0.1"), admit("10.0.0.2")];
  expect([first?.hold(90), second?.hold(70), second?.hold(60)]).toEqual([true, false, true]);
  first?.release(90);
  expect(second?.hold(40)).toBe(true);
});

test("clients that behave notice nothing", async () => {
  const { clock, port } = await listen({ unary: ({ text }) => ({ text }) });
  const transport = createGrpcTransport({ target: `localhost:${port}` });
  onTestFinished(() => transport.close());
  const client = createClient(TransportService, transport);
  for (let call = 0; call < 300; call++) expect((await client.unary({ text: "x" })).text).toBe("x");
  await pass(clock, 120_000);
  expect((await client.unary({ text: "y" })).text).toBe("y");
});

describe("the source of an address", () => {
  test.each([
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::9", "2001:db8:1:2::/64"],
    ["2001:db8::9", "2001:db8:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    [undefined, ""],
  ])("of %s is %s", (address, source) => {
    expect(sourceOf(address)).toBe(source);
  });
});
