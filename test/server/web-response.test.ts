import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { HeldBytes } from "../../src/server/web-held.ts";
import { writeResponse } from "../../src/server/web-response.ts";
import { deferred } from "./harness.ts";
import { openSocket, readToEnd } from "./listening-server.ts";

let server: Server | undefined;

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** The server's side of a request, and the connection that it came on. */
async function request(): Promise<{ response: ServerResponse; socket: Socket }> {
  server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const socket = await openSocket(typeof address === "object" && address !== null ? address.port : 0);
  socket.pause();
  socket.write("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
  const [, response] = (await once(server, "request")) as [unknown, ServerResponse];
  response.on("error", () => undefined);
  return { response, socket };
}

const unlimited = () => new HeldBytes(undefined);

describe("writeResponse", () => {
  it("sends headers and chunks in order, and what has no body, too", async () => {
    const { response, socket } = await request();
    const header = new Headers({ "x-order": "first" });
    const body = (async function* () {
      // Up to the first chunk, headers may change.
      header.set("x-late", "yes");
      yield Buffer.from("one,");
      header.set("x-late", "no");
      yield Buffer.from("two");
    })();
    await writeResponse({ status: 200, header, body }, response, unlimited());
    const answer = await readToEnd(socket.resume());
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\nx-late: yes\r\nx-order: first\r\n/);
    expect(answer.replace(/\r\n[0-9a-f]+\r\n/g, "")).toContain("one,two");
    const empty = await request();
    await writeResponse({ status: 204 }, empty.response, unlimited());
    expect(await readToEnd(empty.socket.resume())).toMatch(/^HTTP\/1\.1 204 /);
  });

  it("asks for no more while nobody reads, and ends with its reader", async () => {
    const { response, socket } = await request();
    let asked = 0;
    const returned = deferred();
    const chunk = Buffer.alloc(1_000_000);
    const body: AsyncIterable<Uint8Array> & AsyncIterator<Uint8Array> = {
      [Symbol.asyncIterator]: () => body,
      next: async () => {
        asked += 1;
        return { done: false, value: chunk };
      },
      return: async () => {
        returned.resolve();
        return { done: true, value: undefined };
      },
    };
    const written = writeResponse({ status: 200, body }, response, unlimited());
    await expect.poll(() => response.writableNeedDrain).toBe(true);
    expect(asked).toBeLessThan(100);
    socket.destroy();
    await written;
    await returned.promise;
  });

  it("tells a body that waits for something that its reader has gone", async () => {
    const { response, socket } = await request();
    const waiting = deferred();
    const returned = deferred();
    const body: AsyncIterable<Uint8Array> & AsyncIterator<Uint8Array> = {
      [Symbol.asyncIterator]: () => body,
      next: () => {
        waiting.resolve();
        return new Promise(() => undefined);
      },
      return: () => {
        returned.resolve();
        return Promise.reject(new Error("whose clean-up fails"));
      },
    };
    void writeResponse({ status: 200, body }, response, unlimited());
    await waiting.promise;
    socket.destroy();
    await returned.promise;
  });

  it("cuts the connection when a body fails, so that nobody takes half of it for all", async () => {
    const { response, socket } = await request();
    const body = (async function* () {
      yield Buffer.from("half");
      throw new Error("the other half is not there");
    })();
    await writeResponse({ status: 200, body }, response, unlimited());
    const answer = await readToEnd(socket.resume());
    expect(answer).not.toMatch(/\r\n0\r\n\r\n$/);
  });
});
