import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { createCallTemplates } from "../../bench/grpc-request.ts";
import { LoadConnection } from "../../bench/load-connection.ts";

const long = "0123456789".repeat(50);
const templates = createCallTemplates("/test.v1.Service/Method", Buffer.from("hello"), [["authorization", long]]);
let server: Http2Server | undefined;
let connection: LoadConnection | undefined;

afterEach(async () => {
  connection?.close();
  await new Promise((resolve) => server?.close(resolve));
});

describe("LoadConnection", () => {
  it("sends whole gRPC calls, the later ones by reference to the headers of the first", async () => {
    const calls: { headers: IncomingHttpHeaders; body: Buffer }[] = [];
    await serve(async (stream, headers) => {
      calls.push({ headers, body: Buffer.concat(await stream.toArray()) });
      answer(stream, "0");
    });
    connection?.start(3);
    await until(() => calls.length >= 10);
    await connection?.stop();
    expect(connection?.completed).toBe(calls.length);
    for (const { headers, body } of calls) {
      expect(headers).toMatchObject({
        ":method": "POST",
        ":scheme": "http",
        ":path": "/test.v1.Service/Method",
        ":authority": "localhost",
        "content-type": "application/grpc",
        te: "trailers",
        "user-agent": "retake-bench",
        authorization: long,
      });
      expect(body).toEqual(Buffer.from("\0\0\0\0\x05hello"));
    }
  });

  it("keeps that many calls in flight, and none after it was stopped", async () => {
    let inFlight = 0;
    let most = 0;
    const open: (() => void)[] = [];
    await serve((stream) => {
      most = Math.max(most, ++inFlight);
      open.push(() => {
        inFlight--;
        answer(stream, "0");
      });
    });
    connection?.start(4);
    for (let round = 0; round < 5; round++) {
      await until(() => open.length === 4);
      for (const finish of open.splice(0)) {
        finish();
      }
    }
    await until(() => open.length === 4);
    const stopped = connection?.stop();
    for (const finish of open.splice(0)) {
      finish();
    }
    await stopped;
    expect(most).toBe(4);
    expect(inFlight).toBe(0);
    expect(connection?.completed).toBe(24);
  });

  it("can be started again", async () => {
    await serve((stream) => answer(stream, "0"));
    connection?.start(1);
    await until(() => (connection?.completed ?? 0) > 2);
    await connection?.stop();
    const before = connection?.completed ?? 0;
    connection?.start(2);
    await until(() => (connection?.completed ?? 0) > before + 4);
    await connection?.stop();
  });

  it("tells how long each call took", async () => {
    await serve((stream) => answer(stream, "0"));
    const latenciesMicros: number[] = [];
    connection?.start(1, latenciesMicros);
    await until(() => latenciesMicros.length >= 5);
    await connection?.stop();
    expect(latenciesMicros).toHaveLength(connection?.completed ?? 0);
    expect(latenciesMicros.every((micros) => micros > 0 && micros < 5_000_000)).toBe(true);
  });

  it("fails when a call is answered with an error", async () => {
    await serve((stream) => answer(stream, "14"));
    connection?.start(1);
    await until(() => (connection?.completed ?? 0) > 0);
    await expect(connection?.stop()).rejects.toThrow("grpc-status 14");
  });

  it("fails when an error comes without a message before it", async () => {
    await serve((stream) => stream.respond({ ":status": 200, "grpc-status": "8" }, { endStream: true }));
    connection?.start(1);
    await until(() => (connection?.completed ?? 0) > 0);
    await expect(connection?.stop()).rejects.toThrow("grpc-status 8");
  });

  it("fails when a call is reset", async () => {
    await serve((stream) => stream.close(11));
    connection?.start(1);
    await expect(connection?.stop()).rejects.toThrow("reset a call (HTTP/2 error 11)");
  });

  it("fails when the server goes away", async () => {
    await serve((stream) => stream.session?.destroy());
    connection?.start(1);
    await expect(connection?.stop()).rejects.toThrow(/closed the connection|sent the connection away/);
  });
});

async function serve(onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => unknown): Promise<void> {
  server = createServer();
  server.on("stream", (stream, headers) => {
    stream.on("error", () => undefined);
    // The types take it for a stream of a client.
    void onStream(stream as ServerHttp2Stream, headers);
  });
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  connection = await LoadConnection.connect((server.address() as AddressInfo).port, templates);
}

function answer(stream: ServerHttp2Stream, status: string): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": status, "retake-run-id": "some-run" }));
  stream.end(Buffer.alloc(5));
}

/** Lets I/O happen until then. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
