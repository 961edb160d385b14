import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Client, Code, createClient, type Transport } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import {
  type Artifact,
  ArtifactService,
  DownloadArtifactRequestSchema,
  type UploadArtifactRequestSchema,
  type UploadStartSchema,
} from "../../gen/retake/v1/artifact_pb.js";
import { systemClock } from "../../src/clock.ts";
import { ArtifactError, type Artifacts } from "../../src/runs/index.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { inPieces, pattern, readAll, sha256 } from "../runs/ports/artifacts-contract.ts";
import { rejection } from "./harness.ts";
import { everyTransport, type ListeningOptions, type ListeningServer, startListening } from "./listening-server.ts";

type Part = MessageInitShape<typeof UploadArtifactRequestSchema>;
type Start = MessageInitShape<typeof UploadStartSchema>;
type Files = Client<typeof ArtifactService>;

const image: Start = { name: "boat.png", mediaType: "image/png" };

function startPart(start: Start): Part {
  return { part: { case: "start", value: start } };
}

function chunkPart(value: Uint8Array): Part {
  return { part: { case: "chunk", value } };
}

async function* upload(start: Start, bytes: Uint8Array, last: readonly Part[] = []): AsyncGenerator<Part> {
  yield startPart(start);
  for await (const piece of inPieces(bytes)) yield chunkPart(piece);
  yield* last;
}

async function listening(options: ListeningOptions = {}): Promise<ListeningServer & { readonly files: Files }> {
  const server = await startListening({}, options);
  return { ...server, files: createClient(ArtifactService, server.grpc) };
}

/** The same store, but for some of its methods. */
function overriding(artifacts: Artifacts, own: Partial<Artifacts>): Artifacts {
  return new Proxy(artifacts, {
    get(target, key) {
      const value: unknown = Reflect.get(own, key) ?? Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

async function download(
  files: Files,
  request: MessageInitShape<typeof DownloadArtifactRequestSchema>,
): Promise<{ artifact: Artifact | undefined; bytes: Buffer; chunks: number }> {
  let artifact: Artifact | undefined;
  let chunks = 0;
  const bytes = await readAll(
    (async function* () {
      for await (const { part } of files.downloadArtifact(request)) {
        if (part.case === "artifact") artifact = part.value;
        if (part.case === "chunk") {
          chunks++;
          yield part.value;
        }
      }
    })(),
  );
  return { artifact, bytes, chunks };
}

describe("ArtifactService", () => {
  it("takes and gives files by every protocol that can stream", async () => {
    const server = await listening();
    const bytes = pattern(6_000_000);
    for (const [name, transport] of everyTransport(server)) {
      const files = createClient(ArtifactService, transport as Transport);
      const { artifact } = await files.uploadArtifact(upload({ ...image, name }, bytes));

      expect(artifact, name).toMatchObject({
        ...{ name, mediaType: "image/png", size: 6_000_000n },
        owner: { tenant: "default", subject: name === "in-process" ? "in-process" : "anonymous" },
      });
      expect(Buffer.from(artifact?.sha256 ?? [])).toEqual(sha256(bytes));
      const artifactId = artifact?.artifactId ?? "";
      expect((await files.getArtifact({ artifactId })).artifact).toEqual(artifact);
      const whole = await download(files, { artifactId });
      expect(whole.artifact).toEqual(artifact);
      expect(Buffer.compare(whole.bytes, bytes)).toBe(0);
    }
  });

  it("gives any part of a file, and none behind its end", async () => {
    const { files } = await listening();
    const bytes = pattern(200_000);
    const artifactId = (await files.uploadArtifact(upload(image, bytes))).artifact?.artifactId ?? "";
    const part = async (offset: bigint, length?: bigint) =>
      (await download(files, { artifactId, offset, ...(length === undefined ? {} : { length }) })).bytes;

    expect(Buffer.compare(await part(150_000n), bytes.subarray(150_000))).toBe(0);
    expect(Buffer.compare(await part(70_000n, 10n), bytes.subarray(70_000, 70_010))).toBe(0);
    expect(await part(200_000n)).toHaveLength(0);
    expect(await part(0n, 2n ** 62n)).toHaveLength(200_000);
    const behind = await rejection(part(200_001n), Code.OutOfRange);
    expect(behind.rawMessage).toContain("has 200000 bytes");
    await rejection(part(-1n), Code.InvalidArgument);
    await rejection(part(0n, 0n), Code.InvalidArgument);
  });

  it("sends chunks that fit into its messages, however small those must be", async () => {
    const { files } = await listening({ config: { grpc: { limits: { maxMessageBytes: 1024 } } } });
    const parts = (async function* () {
      yield startPart(image);
      for await (const piece of inPieces(pattern(5_000), 900)) yield chunkPart(piece);
    })();
    const artifactId = (await files.uploadArtifact(parts)).artifact?.artifactId ?? "";

    expect((await download(files, { artifactId })).bytes).toHaveLength(5_000);
  });

  it.each<[what: string, parts: readonly Part[], says: string]>([
    ["nothing", [], 'begins with a message that sets "start"'],
    ["a chunk first", [chunkPart(pattern(5))], 'with one that sets "chunk"'],
    ["two starts", [startPart(image), startPart(image)], 'one "start"'],
    ["an empty part", [startPart(image), { part: { case: undefined } }], "part"],
    [
      "bytes behind the digest",
      [startPart(image), { part: { case: "sha256", value: new Uint8Array(32) } }, chunkPart(pattern(1))],
      'nothing comes after "sha256"',
    ],
    ["a short digest", [startPart({ ...image, sha256: new Uint8Array(31) })], "sha256"],
    ["a name with a slash", [startPart({ name: "../boat.png" })], "name"],
    ["a name with a line break", [startPart({ name: "boat\r\nx: y" })], "name"],
    ["a media type that is none", [startPart({ mediaType: "image" })], "media_type"],
    ["a media type with a line break", [startPart({ mediaType: "image/png\r\nx: y" })], "media_type"],
    ["an upload id with a path", [startPart({ uploadId: "../x" })], "upload_id"],
    ["an offset without an upload", [startPart({ offset: 5n })], "upload_id"],
    ["a negative offset", [startPart({ uploadId: "u", offset: -1n })], "offset"],
  ])("refuses %s", async (_, parts, says) => {
    const { files } = await listening();
    const error = await rejection(
      files.uploadArtifact(
        (async function* () {
          yield* parts;
        })(),
      ),
      Code.InvalidArgument,
    );

    expect(error.rawMessage).toContain(says);
    expect((await files.listArtifacts({})).artifacts).toEqual([]);
  });

  it("refuses other bytes than the digest says, before or behind them", async () => {
    const { files } = await listening();
    const wrong = sha256(pattern(1));
    const before = await rejection(
      files.uploadArtifact(upload({ ...image, sha256: wrong }, pattern(1000))),
      Code.InvalidArgument,
    );
    expect(before.rawMessage).toContain("have the SHA-256");
    const last: Part = { part: { case: "sha256", value: wrong } };
    await rejection(files.uploadArtifact(upload(image, pattern(1000), [last])), Code.InvalidArgument);
    const right: Part = { part: { case: "sha256", value: sha256(pattern(1000)) } };
    await expect(files.uploadArtifact(upload(image, pattern(1000), [right]))).resolves.toBeDefined();
  });

  it.each(["0".repeat(32)])("knows no artifact %s", async (artifactId) => {
    const { files } = await listening();

    await rejection(files.getArtifact({ artifactId }), Code.NotFound);
    await rejection(download(files, { artifactId }), Code.NotFound);
  });

  it.each(["", "0", "0".repeat(31), "0".repeat(33), "G".repeat(32), "../../../../../../etc/passwd..."])(
    "takes %j for no id",
    async (artifactId) => {
      const { files } = await listening();

      await rejection(files.getArtifact({ artifactId }), Code.InvalidArgument);
      await rejection(download(files, { artifactId }), Code.InvalidArgument);
    },
  );

  it("goes on with an upload whose caller was lost", async () => {
    const { files } = await listening();
    const bytes = pattern(500_000);
    const gone = new AbortController();
    const parts = async function* (): AsyncGenerator<Part> {
      yield startPart({ ...image, uploadId: "one", size: 500_000n });
      for await (const piece of inPieces(bytes.subarray(0, 300_000))) yield chunkPart(piece);
      await once(gone.signal, "abort");
    };
    await rejection(files.getUpload({ uploadId: "one" }), Code.NotFound);
    const broken = rejection(files.uploadArtifact(parts(), { signal: gone.signal }), Code.Canceled);
    await expect
      .poll(async () => (await files.getUpload({ uploadId: "one" }).catch(() => undefined))?.offset)
      .toBe(300_000n);
    gone.abort();
    await broken;

    const { offset } = await files.getUpload({ uploadId: "one" });
    expect(offset).toBe(300_000n);
    const rest = upload({ ...image, uploadId: "one", offset }, bytes.subarray(Number(offset)));
    const { artifact } = await files.uploadArtifact(rest);
    expect(Buffer.from(artifact?.sha256 ?? [])).toEqual(sha256(bytes));
    expect(await files.getUpload({ uploadId: "one" })).toMatchObject({ offset: 500_000n, artifact });
  });

  it("does not take half an upload for a whole one when its caller is lost", async () => {
    const { files } = await listening();
    const gone = new AbortController();
    const parts = async function* (): AsyncGenerator<Part> {
      yield startPart(image);
      yield chunkPart(pattern(1000));
      gone.abort();
    };
    await rejection(files.uploadArtifact(parts(), { signal: gone.signal }), Code.Canceled);

    expect((await files.listArtifacts({})).artifacts).toEqual([]);
  });

  it("says where to go on instead of a byte that it has not", async () => {
    const { files } = await listening();
    const error = await rejection(
      files.uploadArtifact(upload({ ...image, uploadId: "one", offset: 5n }, pattern(10))),
      Code.OutOfRange,
    );

    expect(error.rawMessage).toContain("the server has 0");
  });

  it("refuses what is larger than its configuration lets it take", async () => {
    const { files } = await listening({
      config: { artifacts: { maxBytes: 100_000n } },
      openStorage: ({ artifacts }, clock) => createMemoryStorage({ clock, maxArtifactBytes: artifacts.maxBytes }),
    });
    const announced = await rejection(
      files.uploadArtifact(upload({ ...image, size: 100_001n }, pattern(1))),
      Code.ResourceExhausted,
    );
    expect(announced.rawMessage).toContain("artifacts.max_bytes");
    await rejection(files.uploadArtifact(upload(image, pattern(100_001))), Code.ResourceExhausted);
    await expect(files.uploadArtifact(upload(image, pattern(100_000)))).resolves.toBeDefined();
  });

  it("says when the disk is full, and when to try again", async () => {
    const { files } = await listening({
      openStorage: (_, clock) => {
        const storage = createMemoryStorage({ clock });
        const write = () => Promise.reject(new ArtifactError("full", "the disk with /data is full"));
        return { ...storage, artifacts: overriding(storage.artifacts, { write }) };
      },
    });
    const error = await rejection(files.uploadArtifact(upload(image, pattern(1000))), Code.Unavailable);

    expect(error.rawMessage).toContain("the disk with /data is full");
    expect(error.findDetails(RetryInfoSchema)).toHaveLength(1);
  });

  it("lists by owner and run, page by page", async () => {
    const { files } = await listening();
    for (const name of ["a", "b", "c"]) await files.uploadArtifact(upload({ name }, pattern(3)));
    const first = await files.listArtifacts({ pageSize: 2 });
    const second = await files.listArtifacts({ pageSize: 2, pageToken: first.nextPageToken });

    expect(first.artifacts.map(({ name }) => name)).toEqual(["c", "b"]);
    expect(second.artifacts.map(({ name }) => name)).toEqual(["a"]);
    expect(second.nextPageToken).toBe("");
    const mine = await files.listArtifacts({ owner: { subject: "anonymous" } });
    expect(mine.artifacts).toHaveLength(3);
    expect((await files.listArtifacts({ owner: { subject: "ada" } })).artifacts).toEqual([]);
    await rejection(
      files.listArtifacts({ owner: { subject: "ada" }, pageToken: first.nextPageToken }),
      Code.InvalidArgument,
    );
    await rejection(files.listArtifacts({ pageToken: "nonsense" }), Code.InvalidArgument);
    await rejection(files.listArtifacts({ runId: "no run" }), Code.InvalidArgument);
  });

  it("reads a file no faster than its reader takes it", async () => {
    let given = 0;
    const storage = createMemoryStorage({ clock: systemClock });
    const counting = overriding(storage.artifacts, {
      async *read(...args) {
        for await (const chunk of storage.artifacts.read(...args)) {
          given += chunk.length;
          yield chunk;
        }
      },
    });
    const { files, grpcPort } = await listening({ openStorage: () => ({ ...storage, artifacts: counting }) });
    const artifactId =
      (await files.uploadArtifact(upload(image, new Uint8Array(30_000_000)))).artifact?.artifactId ?? "";
    const session = connectHttp2(`http://127.0.0.1:${grpcPort}`);
    onTestFinished(() => session.destroy());
    const stream = session.request({
      ":method": "POST",
      ":path": "/retake.v1.ArtifactService/DownloadArtifact",
      "content-type": "application/grpc",
      te: "trailers",
    });
    const request = toBinary(DownloadArtifactRequestSchema, create(DownloadArtifactRequestSchema, { artifactId }));
    const frame = Buffer.alloc(5 + request.length);
    frame.writeUInt32BE(request.length, 1);
    frame.set(request, 5);
    stream.end(frame);
    // Answers, and is then not read any further.
    await once(stream, "response");
    await expect.poll(() => given, { interval: 100 }).toBeGreaterThan(0);
    const soon = given;
    await new Promise((resolve) => setTimeout(resolve, 300));

    expect(soon).toBeLessThan(2_000_000);
    expect(given).toBeLessThan(2_000_000);
  });

  it("takes an upload no faster than it can store it", async () => {
    let taken = 0;
    const reached = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const storage = createMemoryStorage({ clock: systemClock });
    const slow = overriding(storage.artifacts, {
      write: (content, what) =>
        storage.artifacts.write(
          (async function* () {
            for await (const chunk of content) {
              reached.resolve();
              await goOn.promise;
              yield chunk;
            }
          })(),
          what,
        ),
    });
    const { files } = await listening({ openStorage: () => ({ ...storage, artifacts: slow }) });
    const parts = async function* (): AsyncGenerator<Part> {
      yield startPart(image);
      for await (const piece of inPieces(new Uint8Array(30_000_000))) {
        taken += piece.length;
        yield chunkPart(piece);
      }
    };
    const uploading = files.uploadArtifact(parts());
    await reached.promise;
    await new Promise((resolve) => setTimeout(resolve, 300));

    expect(taken).toBeLessThan(4_000_000);
    goOn.resolve();
    expect((await uploading).artifact?.size).toBe(30_000_000n);
  });
});
