import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { fetchText } from "../../../src/security/jwt/fetch-text.ts";

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
}

const get = (url: string, timeoutMs = 5000, signal = new AbortController().signal): Promise<string> =>
  fetchText(url, timeoutMs, systemClock, signal);

describe("fetchText", () => {
  it("gets a document", async () => {
    const url = await serve((request, response) => {
      response.end(JSON.stringify({ path: request.url, accept: request.headers.accept }));
    });
    expect(JSON.parse(await get(url))).toEqual({ path: "/keys", accept: "application/json, application/jwk-set+json" });
  });

  it("follows no redirect", async () => {
    const asked: unknown[] = [];
    const url = await serve((request, response) => {
      asked.push(request.url);
      response.writeHead(302, { location: "/elsewhere" }).end();
    });
    await expect(get(url)).rejects.toThrow(`${url}: the answer has status 302, and 200 is wanted`);
    expect(asked).toEqual(["/keys"]);
  });

  it("takes no more than it has room for", async () => {
    const url = await serve((_, response) => {
      const more = (): void => {
        while (response.write("x".repeat(64 * 1024)));
      };
      response.on("drain", more);
      more();
    });
    await expect(get(url)).rejects.toThrow(/the answer has more than 524288 bytes/);
  });

  it("waits no longer than it may, for an answer or the rest of one", async () => {
    const silent = await serve(() => undefined);
    await expect(get(silent, 50)).rejects.toThrow(`${silent}: no whole answer within 50 ms`);
    const slow = await serve((_, response) => void response.write("{"));
    await expect(get(slow, 50)).rejects.toThrow("no whole answer within 50 ms");
  });

  it("stops with the server", async () => {
    const stop = new AbortController();
    const pending = get(await serve(() => undefined), 5000, stop.signal);
    const refused = expect(pending).rejects.toThrow("the server stopped");
    await wait(10);
    stop.abort();
    await refused;
  });

  it("says why there is no connection", async () => {
    await expect(get("http://127.0.0.1:9/keys")).rejects.toThrow(/^http:\/\/127\.0\.0\.1:9\/keys: .+/);
  });
});
