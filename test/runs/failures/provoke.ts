import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { readFile, writeFile } from "node:fs/promises";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { serverCertificate, serverKey } from "../../transport/certificates.ts";

/** What an operation throws. */
export async function thrownBy(operation: () => unknown): Promise<unknown> {
  try {
    await operation();
  } catch (error) {
    return error;
  }
  throw new Error("it throws nothing");
}

async function withServer<T>(server: Server, use: (port: number) => Promise<T>): Promise<T> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await use((server.address() as AddressInfo).port);
  } finally {
    server.close();
  }
}

/** A fetch of a peer that treats its connections so. */
export function fetchFrom(onConnection: (socket: Socket) => void, init: RequestInit = {}, scheme = "http") {
  return withServer(
    createServer((socket) => {
      socket.on("error", () => undefined);
      onConnection(socket);
    }),
    async (port) => (await fetch(`${scheme}://127.0.0.1:${port}/`, init)).text(),
  );
}

/** The answer of an HTTP server. */
export function answerOf(listener: RequestListener): Promise<Response> {
  return withServer(createHttpServer(listener), (port) => fetch(`http://127.0.0.1:${port}/`));
}

/** A port on which nobody listens. */
export function freePort(): Promise<number> {
  return withServer(createServer(), async (port) => port);
}

export async function fetchRefused(): Promise<unknown> {
  return fetch(`http://127.0.0.1:${await freePort()}/`);
}

/** A fetch of a server whose certificate nobody knows. */
export function fetchUntrusted(): Promise<unknown> {
  return withServer(createTlsServer({ key: serverKey, cert: serverCertificate }), (port) =>
    fetch(`https://127.0.0.1:${port}/`),
  );
}

/** A look-up at a name server that answers so, or not at all. */
export async function lookUp(answer?: (query: Buffer) => Buffer): Promise<unknown> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  socket.on("message", (query, { port, address }) => {
    if (answer !== undefined) socket.send(answer(query), port, address);
  });
  const resolver = new Resolver({ timeout: 20, tries: 1 });
  resolver.setServers([`127.0.0.1:${socket.address().port}`]);
  try {
    return await resolver.resolve4("secret.example");
  } finally {
    socket.close();
  }
}

/** The answer of a name server: a query with other flags (RFC 1035, section 4.1.1). */
export const withResponseCode = (code: number) => (query: Buffer) => {
  const answer = Buffer.from(query);
  answer.writeUInt16BE(0x8180 | code, 2);
  return answer;
};

export const run = promisify(execFile);

export const readMissing = (): Promise<unknown> => readFile("/nowhere/secret-path");
export const writeFull = (): Promise<unknown> => writeFile("/dev/full", "x");

/** A worker thread that fills its heap. */
export function fillWorkerHeap(): Promise<never> {
  const worker = new Worker("const kept = []; for (;;) kept.push(new Array(1e5).fill(1))", {
    eval: true,
    resourceLimits: { maxOldGenerationSizeMb: 8 },
  });
  return new Promise((_, reject) => worker.once("error", reject));
}
