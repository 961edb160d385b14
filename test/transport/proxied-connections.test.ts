import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { PassThrough } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { expect, it, onTestFinished } from "vitest";
import { createVirtualClock } from "../../src/testing/index.ts";
import { takeProxied } from "../../src/transport/proxied-connections.ts";

async function listen() {
  const clock = createVirtualClock();
  const taken: string[] = [];
  const refused: string[] = [];
  const arrived = Promise.withResolvers<Socket>();
  const server = createServer((socket) => {
    taken.push(`${socket.remoteAddress} ${socket.remotePort} ${socket.remoteFamily}`);
    socket.pipe(socket);
  });
  server.on("connection", () => taken.push("told the second"));
  const drop = takeProxied(server, {
    proxies: { isTrusted: () => true },
    clock,
    onRefused: (problem, address) => refused.push(`${address}: ${problem}`),
  });
  server.on("connection", (socket) => arrived.resolve(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const socket = connect(port, "127.0.0.1");
  onTestFinished(() => {
    socket.destroy();
    server.close();
  });
  await arrived.promise;
  return { clock, taken, refused, drop, socket };
}

it("a connection that does not say whose it is is closed when its time is over", async () => {
  const { clock, taken, refused, socket } = await listen();
  socket.write("PROXY TCP4 203.0.113.7 ");
  await clock.advance(4_999);
  expect([refused, socket.closed]).toEqual([[], false]);
  await clock.advance(1);
  await once(socket, "close");
  expect([taken, refused]).toEqual([[], ["127.0.0.1: it has not come within 5 s"]]);
});

it("one that has said so is told to all who listen, in their order, and its time does not end", async () => {
  const { clock, taken, refused, socket } = await listen();
  socket.write("PROXY TCP4 203.0.113.7 198.51.100.1 51234 443\r\nhel");
  socket.write("lo");
  const chunks: string[] = [];
  socket.on("data", (chunk) => chunks.push(String(chunk)));
  while (chunks.join("") !== "hello") await once(socket, "data");
  await clock.advance(60_000);
  expect([taken, refused, socket.closed]).toEqual([["203.0.113.7 51234 IPv4", "told the second"], [], false]);
});

it("one that is left before it has said so is nobody's, and not worth a word", async () => {
  const { clock, taken, refused, socket } = await listen();
  socket.end("PROXY ");
  socket.resume();
  await once(socket, "close");
  await clock.advance(60_000);
  expect([taken, refused]).toEqual([[], []]);
});

it("those that have not are dropped at the end", async () => {
  const { drop, socket } = await listen();
  drop();
  await once(socket, "close");
});

it("one of TLS is told from others by both of its ends", async () => {
  const server = createServer();
  takeProxied(server, { proxies: { isTrusted: () => true }, clock: createVirtualClock(), onRefused: () => undefined });
  const endsAt = (localAddress: string) => ({ remoteAddress: "10.0.0.1", remotePort: 7, localAddress, localPort: 443 });
  for (const [client, localAddress] of [
    ["203.0.113.1", "10.0.0.8"],
    ["203.0.113.2", "10.0.0.9"],
  ] as const) {
    const socket = Object.assign(new PassThrough(), endsAt(localAddress));
    server.emit("connection", socket as unknown as Socket);
    socket.write(`PROXY TCP4 ${client} 198.51.100.1 51234 443\r\n`);
  }
  await setImmediate();
  const secured = endsAt("10.0.0.8");
  server.emit("secureConnection", secured);
  expect(secured.remoteAddress).toBe("203.0.113.1");
});
