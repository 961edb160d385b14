import { once } from "node:events";
import { request } from "node:http";
import { createClient } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { type Artifact, ArtifactService } from "../../gen/retake/v1/artifact_pb.js";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { RateLimitScope } from "../../gen/retake/v1/rate_limit_config_pb.js";
import { systemClock } from "../../src/clock.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { inPieces, pattern, sha256 } from "../runs/ports/artifacts-contract.ts";
import { fetchWeb, type ListeningOptions, type ListeningServer, startListening } from "./listening-server.ts";

const bytes = pattern(200_000);

interface Served extends ListeningServer {
  readonly artifact: Artifact;
  readonly path: string;
  get(headers?: Readonly<Record<string, string>>, method?: string): ReturnType<typeof fetchWeb>;
}

async function serving(
  { content = bytes, name = "boat.png", mediaType = "image/png" } = {},
  options: ListeningOptions = {},
): Promise<Served> {
  const server = await startListening({}, options);
  const files = createClient(ArtifactService, server.grpc);
  const { artifact } = await files.uploadArtifact(
    (async function* () {
      yield { part: { case: "start" as const, value: { name, mediaType } } };
      for await (const value of inPieces(content)) yield { part: { case: "chunk" as const, value } };
    })(),
  );
  if (artifact === undefined) throw new Error("there is no artifact");
  const path = `/artifacts/${artifact.artifactId}`;
  const get: Served["get"] = (headers = {}, method = "GET") => fetchWeb(server.webPort, path, { method, headers });
  return { ...server, artifact, path, get };
}

const etag = `"${Buffer.from(sha256(bytes)).toString("hex")}"`;

describe("GET /artifacts/{id}", () => {
  it("gives the file, says what it is, and lets it be kept for ever by whoever got it", async () => {
    const { get, artifact } = await serving();
    const answer = await get();

    expect(answer.status).toBe(200);
    expect(Buffer.compare(answer.body, bytes)).toBe(0);
    expect(answer.headers).toMatchObject({
      "content-type": "image/png",
      "content-length": "200000",
      "accept-ranges": "bytes",
      "cache-control": "private, max-age=31536000, immutable",
      "content-disposition": "inline; filename=boat.png",
      "x-content-type-options": "nosniff",
      "content-security-policy": expect.stringMatching(/default-src 'none'.*sandbox/),
      etag,
      "last-modified": new Date(Number(artifact.createTime?.seconds) * 1000).toUTCString(),
    });
  });

  it.each([
    ["text/html"],
    ["image/svg+xml"],
    ["application/javascript"],
    ["application/pdf"],
    ["application/octet-stream"],
  ])("has %s saved, not shown", async (mediaType) => {
    const { get } = await serving({ mediaType });

    expect((await get()).headers["content-disposition"]).toMatch(/^attachment/);
  });

  it("gives every name in a form that a header can have", async () => {
    const { get } = await serving({ name: 'ein "Boot" – 船.png' });
    const disposition = (await get()).headers["content-disposition"] ?? "";

    expect(disposition).toContain(`filename*=UTF-8''ein%20%22Boot%22%20%E2%80%93%20%E8%88%B9.png`);
    expect(disposition).toMatch(/^[\x20-\x7e]+$/);
  });

  it("gives an empty file, of which there are no ranges", async () => {
    const { get } = await serving({ content: new Uint8Array() });

    expect(await get()).toMatchObject({ status: 200, headers: { "content-length": "0" } });
    expect(await get({ range: "bytes=0-" })).toMatchObject({ status: 416, headers: { "content-range": "bytes */0" } });
  });

  it.each([
    ["bytes=0-0", 0, 0],
    ["bytes=0-199999", 0, 199_999],
    ["bytes=199999-199999", 199_999, 199_999],
    ["bytes=100-", 100, 199_999],
    ["bytes=-100", 199_900, 199_999],
    ["bytes=-300000", 0, 199_999],
    ["bytes=100-300000", 100, 199_999],
    ["bytes=65535-65536", 65_535, 65_536],
    ["Bytes=5-7", 5, 7],
  ])("gives the range %s", async (range, start, end) => {
    const { get } = await serving();
    const answer = await get({ range });

    expect(answer.status).toBe(206);
    expect(answer.headers).toMatchObject({
      "content-range": `bytes ${start}-${end}/200000`,
      "content-length": String(end - start + 1),
      etag,
    });
    expect(Buffer.compare(answer.body, bytes.subarray(start, end + 1))).toBe(0);
  });

  it.each([["bytes=200000-"], ["bytes=200000-200001"], ["bytes=-0"]])("has no range %s", async (range) => {
    const { get } = await serving();
    const answer = await get({ range });

    expect(answer.status).toBe(416);
    expect(answer.headers["content-range"]).toBe("bytes */200000");
    expect(answer.headers["cache-control"]).toBeUndefined();
    expect(answer.json["message"]).toContain("has 200000 bytes");
  });

  it.each([["bytes=5-2"], ["bytes=a-b"], ["lines=1-2"], ["bytes"], ["bytes=0-1,5-6"], ["bytes=--1"]])(
    "gives all of the file for %s, which is no range, or more than one",
    async (range) => {
      const { get } = await serving();
      const answer = await get({ range });

      expect(answer.status).toBe(200);
      expect(answer.body).toHaveLength(200_000);
    },
  );

  it.each([
    ["its tag", { "if-none-match": etag }, 304],
    ["its tag, weakly", { "if-none-match": `W/${etag}` }, 304],
    ["one of several tags", { "if-none-match": `"other", ${etag}` }, 304],
    ["any tag", { "if-none-match": "*" }, 304],
    ["its tag and a range", { "if-none-match": etag, range: "bytes=0-1" }, 304],
    ["a time after it", { "if-modified-since": new Date(Date.now() + 60_000).toUTCString() }, 304],
    ["another tag", { "if-none-match": '"other"' }, 200],
    ["a time before it", { "if-modified-since": new Date(0).toUTCString() }, 200],
    ["its tag, but by reload", { "if-none-match": etag, "cache-control": "no-cache" }, 200],
    ["a wish for the same", { "if-match": etag }, 200],
    ["a wish for any", { "if-match": "*" }, 200],
    ["a wish for another", { "if-match": '"other"' }, 412],
    ["a range of the same", { range: "bytes=0-1", "if-range": etag }, 206],
    ["a range of another", { range: "bytes=0-1", "if-range": '"other"' }, 200],
    ["a range of one that is weakly the same", { range: "bytes=0-1", "if-range": `W/${etag}` }, 200],
    ["a range of an older one", { range: "bytes=0-1", "if-range": new Date(0).toUTCString() }, 200],
  ])("answers who comes with %s", async (_, headers, status) => {
    const { get } = await serving();
    const answer = await get(headers);

    expect(answer.status).toBe(status);
    expect(answer.headers.etag).toBe(etag);
    if (status === 304) {
      expect(answer.body).toHaveLength(0);
    }
  });

  it("gives a range of the file that was changed at that very time", async () => {
    const { get } = await serving();
    const modified = (await get()).headers["last-modified"] ?? "";

    expect((await get({ range: "bytes=0-1", "if-range": modified })).status).toBe(206);
  });

  it("minds no header that says nothing of who calls, and takes none for what it is to the server", async () => {
    const { get } = await serving();
    const cookie = Buffer.from("name=Zoë; path=日本").toString("latin1");
    const headers = { cookie, "retake-priority": "high", "grpc-timeout": "1n", "x-bin": "\xff", "a-bin": "?" };
    expect((await get(headers)).status).toBe(200);
  });

  it("says the same to HEAD, without the file", async () => {
    const { get } = await serving();
    for (const headers of [{}, { range: "bytes=10-19" }, { range: "bytes=200000-" }, { "if-none-match": etag }]) {
      const [whole, head] = [await get(headers), await get(headers, "HEAD")];

      expect(head.status).toBe(whole.status);
      expect(head.body).toHaveLength(0);
      expect({ ...head.headers, date: "" }).toEqual({ ...whole.headers, date: "" });
    }
  });

  it.each([
    ["/artifacts/"],
    ["/artifacts/0"],
    [`/artifacts/${"0".repeat(31)}G`],
    [`/artifacts/${"A".repeat(32)}`],
    ["/artifacts/../../etc/passwd"],
    ["/artifacts/..%2f..%2fetc%2fpasswd"],
    [`/artifacts/${"0".repeat(32)}/x`],
    [`/artifacts/${"0".repeat(32)}%00`],
  ])("has nothing at %s", async (path) => {
    const { webPort } = await serving();
    const answer = await fetchWeb(webPort, path, { method: "GET", headers: {} });

    expect(answer.status).toBe(404);
    expect(answer.json["message"]).toMatch(/32 hexadecimal digits|there is nothing at/);
  });

  it("says that there is none, and lets nobody keep that", async () => {
    const { webPort } = await serving();
    const answer = await fetchWeb(webPort, `/artifacts/${"0".repeat(32)}`, { method: "GET", headers: {} });

    expect(answer.status).toBe(404);
    expect(answer.json).toMatchObject({ code: "not_found", message: expect.stringContaining("upload it again") });
    expect(answer.headers).not.toHaveProperty("cache-control");
    expect(answer.headers).not.toHaveProperty("etag");
  });

  it("takes nothing: other methods are told which there are", async () => {
    const { get, artifact, webPort } = await serving();
    for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
      expect(await get({}, method)).toMatchObject({ status: 405, headers: { allow: "GET, HEAD" } });
    }
    const body = "x".repeat(1_000_000);
    const path = `/artifacts/${artifact.artifactId}`;
    expect((await fetchWeb(webPort, path, { method: "POST", headers: {}, body })).status).toBe(405);
  });

  it("ignores what stands behind a question mark", async () => {
    const { path, webPort } = await serving();

    expect((await fetchWeb(webPort, `${path}?download=1`, { method: "GET", headers: {} })).status).toBe(200);
  });

  it("knows its caller by the same keys as a call, and locks out those who guess", async () => {
    const config = {
      security: { lockout: { threshold: 2, initialDelay: { seconds: 60n }, maxLockout: { seconds: 60n } } },
    };
    const { get, server } = await serving({}, { config });
    const admin = createClient(AdminService, server.transport);
    const { key } = await admin.createApiKey({ subject: "ana", level: AccessLevel.ADMIN });
    expect((await get({ authorization: `Bearer ${key}` })).status).toBe(200);
    // The answer to the first is held back until the server closes.
    const [first, second] = [get({ "x-api-key": "wrong" }), get({ "x-api-key": "wrong" })];
    expect((await Promise.race([first, second])).status).toBe(429);
    expect((await get({ "x-api-key": "wrong" })).json).toMatchObject({ code: "resource_exhausted" });
    expect((await get({ "x-api-key": key })).status).toBe(200);
    expect((await get()).status).not.toBe(429);
    await server.close({ drainTimeoutMs: 0 });
    expect((await Promise.all([first, second])).map(({ status }) => status).sort()).toEqual([401, 429]);
  });

  it("is for its owner, and counts by the limits of its caller, as calls do", async () => {
    const hour = { seconds: 3600n };
    const config = {
      security: {
        anonymousLevel: AccessLevel.PUBLIC,
        rateLimits: [{ scope: [RateLimitScope.PRINCIPAL], limit: 3, window: hour }],
      },
    };
    const server = await startListening({}, { config });
    const admin = createClient(AdminService, server.server.transport);
    const keyOf = async (subject: string) => {
      const { key } = await admin.createApiKey({ subject, level: AccessLevel.AUTHENTICATED });
      return { "x-api-key": key };
    };
    const [ana, bob] = [await keyOf("ana"), await keyOf("bob")];
    const files = createClient(ArtifactService, server.grpc);
    const { artifact } = await files.uploadArtifact(
      (async function* () {
        yield { part: { case: "start" as const, value: { name: "boat.png", mediaType: "image/png" } } };
        for await (const value of inPieces(bytes)) yield { part: { case: "chunk" as const, value } };
      })(),
      { headers: ana },
    );
    const get = (headers: Readonly<Record<string, string>>, method = "GET") =>
      fetchWeb(server.webPort, `/artifacts/${artifact?.artifactId}`, { method, headers });
    expect((await get(bob)).status).toBe(404);
    // Each answer is one, whatever it takes here to make it: the upload was the first of three.
    expect((await get(ana)).status).toBe(200);
    expect((await get(ana, "HEAD")).status).toBe(200);
    const refused = await get(ana);
    expect(refused.status).toBe(429);
    expect(refused.json).toMatchObject({ code: "resource_exhausted" });
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    expect(refused.headers).not.toHaveProperty("content-disposition");
    // Bob's are his own.
    expect((await get(bob)).status).toBe(404);
  });

  it("lets pages of allowed origins have it", async () => {
    const { get } = await serving({}, { config: { web: { allowedOrigins: ["https://studio.example"] } } });
    const answer = await get({ origin: "https://studio.example" });

    expect(answer.headers).toMatchObject({ "access-control-allow-origin": "https://studio.example", vary: "Origin" });
    expect(answer.headers["access-control-expose-headers"]).toMatch(/content-range, etag$/);
  });

  it("reads the file no faster than its reader takes it, and stops when that leaves", async () => {
    const storage = createMemoryStorage({ clock: systemClock });
    let given = 0;
    let ended = false;
    const { read } = storage.artifacts;
    storage.artifacts.read = async function* (...args) {
      try {
        for await (const chunk of read.apply(storage.artifacts, args)) {
          given += chunk.length;
          yield chunk;
        }
      } finally {
        ended = true;
      }
    };
    const content = new Uint8Array(60_000_000);
    const { webPort, path } = await serving({ content }, { openStorage: () => storage });
    const sent = request({ host: "127.0.0.1", port: webPort, path, agent: false }).end();
    const [response] = await once(sent, "response");
    response.pause();
    await expect.poll(() => given, { interval: 50 }).toBeGreaterThan(0);
    await new Promise((resolve) => setTimeout(resolve, 300));

    // What the sockets of both sides hold, which is the operating system's choice.
    expect(given).toBeLessThan(20_000_000);
    sent.destroy();
    await expect.poll(() => ended).toBe(true);
  });
});
