import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { type Artifact, ArtifactService } from "../../gen/retake/v1/artifact_pb.js";
import { connectRetake, type Reconnection } from "../../src/client/index.ts";
import { ArtifactError } from "../../src/runs/index.ts";
import { createSeededRandom } from "../../src/testing/seeded-random.ts";
import { inPieces, pattern, readAll, sha256 } from "../runs/ports/artifacts-contract.ts";
import { rejection, startServer, stopServer } from "../server/harness.ts";

/** A server in this process, and a client whose streams break where the test says. */
async function setUp(options: { readonly full?: boolean } = {}) {
  const server = await startServer();
  const { transport } = server.server;
  /** How many more messages of each of the next streams pass. */
  const breaks: number[] = [];
  const sent: bigint[] = [];
  const broken: Transport = {
    unary: (...args) => transport.unary(...args),
    stream: async (method, signal, timeoutMs, header, input, values) => {
      const least = breaks.shift();
      const gone = new AbortController();
      async function* counted<T>(messages: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
        let passed = 0;
        for await (const message of messages) {
          const { part } = message as { part?: { case?: string; value?: { offset?: bigint } } };
          if (part?.case === "start") sent.push(part.value?.offset ?? 0n);
          if (passed++ === least) {
            gone.abort();
            throw new ConnectError("the line is cut", Code.Unavailable);
          }
          yield message;
        }
      }
      const upload = method.methodKind === "client_streaming";
      const stop = AbortSignal.any([gone.signal, ...(signal === undefined ? [] : [signal])]);
      try {
        const response = await transport.stream(
          method,
          stop,
          timeoutMs,
          header,
          upload ? counted(input as AsyncIterable<never>) : input,
          values,
        );
        return upload ? response : { ...response, message: counted(response.message) };
      } catch (error) {
        throw gone.signal.aborted ? new ConnectError("the line is cut", Code.Unavailable) : error;
      }
    },
  };
  if (options.full === true) {
    server.storage.artifacts.write = () => Promise.reject(new ArtifactError("full", "the disk is full"));
  }
  const retake = connectRetake({ transport: broken, clock: server.clock, random: createSeededRandom(9) });
  return {
    ...server,
    artifacts: retake.artifacts,
    files: createClient(ArtifactService, transport),
    breaks,
    sent,
    async settled<T>(promise: Promise<T>): Promise<T> {
      let pending = true;
      const end = (): void => {
        pending = false;
      };
      promise.then(end, end);
      for (let second = 0; pending && second < 900; second++) await server.clock.advance(1_000);
      return promise;
    },
    [Symbol.asyncDispose]: () => stopServer(server),
  };
}

const bytes = pattern(2_000_000);

describe("a client's artifacts", () => {
  it("puts bytes, and streams that can be read from anywhere, and gets them back", async () => {
    await using test = await setUp();
    const image = { name: "boat.png", mediaType: "image/png" };
    const one = await test.artifacts.put(bytes, image);
    const two = await test.artifacts.put((offset) => inPieces(bytes.subarray(offset)), image);

    expect(two).toEqual(one);
    const download = await test.artifacts.get(one.artifactId);
    expect(download.artifact).toEqual(one);
    expect(Buffer.compare(await readAll(download), bytes)).toBe(0);
    expect(await readAll(await test.artifacts.get(one.artifactId, { offset: 1_999_990 }))).toHaveLength(10);
    const listed: Artifact[] = [];
    for await (const each of test.artifacts.list({ pageSize: 1 })) listed.push(each);
    expect(listed).toEqual([one]);
  });

  it("goes on with an upload behind what the server has stored, over any number of lost connections", async () => {
    await using test = await setUp();
    test.breaks.push(3, 3, 0, 4);
    const lost: Reconnection[] = [];
    const put = test.artifacts.put(bytes, { sha256: sha256(bytes), onReconnect: (each) => lost.push(each) });
    const artifact = await test.settled(put);

    expect(Buffer.from(artifact.sha256)).toEqual(sha256(bytes));
    expect(lost).toHaveLength(4);
    expect(test.sent.length).toBeGreaterThan(3);
    expect(test.sent.at(-1)).toBeGreaterThan(500_000n);
  });

  it("goes on with a download behind what has arrived", async () => {
    await using test = await setUp();
    const { artifactId } = await test.artifacts.put(bytes);
    test.breaks.push(5, 0, 9);
    let told = 0;
    const download = await test.artifacts.get(artifactId, {
      onProgress: (position) => {
        expect(position).toBeGreaterThan(told);
        told = position;
      },
    });
    const received = await test.settled(readAll(download));

    expect(Buffer.compare(received, bytes)).toBe(0);
    expect(told).toBe(bytes.length);
  });

  it("goes on with an upload of another process, and sends nothing once it is complete", async () => {
    await using test = await setUp();
    await test.storage.artifacts
      .write(
        (async function* () {
          yield bytes.subarray(0, 700_000);
          throw new Error("killed");
        })(),
        {
          owner: { tenant: "default", subject: "in-process" },
          name: "",
          mediaType: "application/octet-stream",
          uploadId: "u",
        },
      )
      .catch(() => undefined);
    const options = { uploadId: "u", sha256: sha256(bytes) };
    const artifact = await test.artifacts.put(bytes, options);
    expect(test.sent).toEqual([700_000n]);

    expect(await test.artifacts.put(bytes, options)).toEqual(artifact);
    expect(test.sent).toHaveLength(1);
  });

  it("gives up when the server refuses, or its disk stays full", async () => {
    await using test = await setUp();
    await rejection(test.artifacts.put(bytes, { name: "a/b" }), Code.InvalidArgument);
    await rejection(test.artifacts.put(bytes, { sha256: sha256(pattern(1)) }), Code.InvalidArgument);
    await rejection(test.artifacts.get("0".repeat(32)), Code.NotFound);
    await using full = await setUp({ full: true });
    const error = await rejection(full.settled(full.artifacts.put(bytes)), Code.Unavailable);
    expect(error.rawMessage).toContain("disk is full");
  });

  it("stops at a signal", async () => {
    await using test = await setUp();
    const stop = new AbortController();
    const put = test.artifacts.put(
      () =>
        (async function* () {
          yield bytes;
          stop.abort();
          await new Promise(() => undefined);
        })(),
      { signal: stop.signal },
    );

    await rejection(put, Code.Canceled);
  });
});
