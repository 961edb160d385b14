import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";

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
