import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Artifact, ArtifactSchema, ArtifactService } from "../../gen/retake/v1/artifact_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { call, step } from "../../src/runs/index.ts";
import type { WorkflowImpl } from "../../src/server/server.ts";
import { createTestServer, type TestServer, type TestServerOptions } from "../../src/testing/test-server.ts";
import { AlbumSchema, type DevelopRequestSchema, GalleryService } from "../gen/retake/test/v1/gallery_pb.js";
import { rejection, stopServer } from "./harness.ts";

const inProcess = { tenant: "default", subject: "in-process" };
const hour = 3_600_000;
const day = 24 * hour;

interface Gallery extends TestServer {
  readonly gallery: Client<typeof GalleryService>;
  readonly runs: Client<typeof RunService>;
  readonly files: Client<typeof ArtifactService>;
}

let test: Gallery;

async function start(
  own: WorkflowImpl<typeof GalleryService> = {},
  config: NonNullable<TestServerOptions["config"]> = {},
): Promise<void> {
  const started = createTestServer({
    config: { grpc: { disabled: true }, web: { disabled: true }, ...config } as typeof config,
  });
  started.server.implement(GalleryService, {
    async *develop() {
      yield { update: { case: "result", value: {} } };
    },
    frame: ({ image }) => (image === undefined ? {} : { image }),
    ...own,
  });
  const listening = started.server.listen();
  await started.clock.advance(0);
  await listening;
  const { transport } = started.server;
  test = {
    ...started,
    gallery: createClient(GalleryService, transport),
    runs: createClient(RunService, transport),
    files: createClient(ArtifactService, transport),
  };
}

/** Stores an artifact as a caller. */
async function upload(text: string): Promise<Artifact> {
  const stored = await test.storage.artifacts.write(
    (async function* () {
      yield new TextEncoder().encode(text);
    })(),
    { owner: inProcess, name: text, mediaType: "text/plain" },
  );
  return create(ArtifactSchema, { artifactId: stored.id });
}

async function exists({ artifactId }: Pick<Artifact, "artifactId">): Promise<boolean> {
  return (await test.storage.artifacts.get(artifactId)) !== undefined;
}

/** The names of what a run keeps. */
async function keptBy(runId: string): Promise<string[]> {
  const { artifacts } = await test.files.listArtifacts({ runId });
  return artifacts.map(({ name }) => name).sort();
}

/** Starts a run of Develop and waits for its end. */
async function develop(
  request: MessageInitShape<typeof DevelopRequestSchema>,
): Promise<{ runId: string; state: string | undefined }> {
  let runId = "";
  let result: string | undefined;
  try {
    for await (const { update } of test.gallery.develop(request, {
      headers: { "retake-detach": "true" },
      onHeader: (header) => {
        runId = header.get("retake-run-id") ?? "";
      },
    })) {
      result = update.case;
    }
  } catch (error) {
    runId = ConnectError.from(error).metadata.get("retake-run-id") ?? runId;
    throw error;
  }
  return { runId, state: result };
}

afterEach(() => stopServer(test));

describe("a run whose input refers to artifacts", () => {
  beforeEach(() => start());

  it("keeps all of them from its acceptance on, as long as it is kept itself", async () => {
    const [a, b, c, d] = await Promise.all(["a", "b", "c", "d"].map(upload));
    const unkept = await upload("unkept");
    const { runId } = await develop({
      ...(a === undefined ? {} : { image: a }),
      images: b === undefined ? [] : [b],
      named: c === undefined ? {} : { c },
      more: { case: "album", value: { parts: d === undefined ? [] : [{ cover: d }] } },
    });

    expect(await keptBy(runId)).toEqual(["a", "b", "c", "d"]);
    expect(await test.storage.artifacts.listKeepers("", 10)).toHaveLength(1);
    // The run is removed after a minute, its artifacts a day of grace later.
    await test.clock.advance(3 * 60_000);
    await rejection(test.runs.getRun({ runId }), Code.NotFound);
    expect(await test.storage.artifacts.listKeepers("", 10)).toEqual([]);
    await test.clock.advance(day - 4 * 60_000);
    expect(await exists(unkept)).toBe(true);
    await test.clock.advance(2 * 60_000);
    expect(await exists(unkept)).toBe(false);
    expect(await exists(a as Artifact)).toBe(true);
    await test.clock.advance(5 * 60_000);
    expect(await exists(a as Artifact)).toBe(false);
    expect(await exists(d as Artifact)).toBe(false);
  });

  it("is refused when one of them is not there, names it, and leaves nothing behind", async () => {
    const there = await upload("there");
    const artifactId = "0123456789abcdef0123456789abcdef";
    const calls = [
      () => develop({ image: there, images: [create(ArtifactSchema, { artifactId })] }),
      () =>
        test.runs.startRun({
          workflow: "retake.test.v1.GalleryService/Frame",
          input: { case: "json", value: JSON.stringify({ image: { artifactId } }) },
        }),
    ];
    for (const refused of calls) {
      const error = await rejection(refused(), Code.NotFound);
      expect(error.rawMessage).toContain(artifactId);
      expect(error.rawMessage).toContain("upload it again");
    }

    expect((await test.runs.listRuns({})).runs).toEqual([]);
    expect(await test.storage.artifacts.listKeepers("", 10)).toEqual([]);
  });

  it("is refused when what it says is no id at all", async () => {
    for (const artifactId of ["", "../../etc/passwd", "0123456789ABCDEF0123456789ABCDEF"]) {
      const error = await rejection(test.gallery.frame({ image: { artifactId } }), Code.InvalidArgument);
      expect(error.rawMessage).toContain("image.artifact_id");
    }
  });

  it("is found by its key although an artifact is gone meanwhile, because it keeps it", async () => {
    const image = await upload("kept");
    const headers = { "idempotency-key": "k" };
    await test.gallery.frame({ image }, { headers });
    await test.clock.advance(3 * day);

    expect((await test.gallery.frame({ image }, { headers })).image?.artifactId).toBe(image.artifactId);
  });

  it("lets its rerun keep them too", async () => {
    const image = await upload("a");
    const { runId } = await develop({ image });
    const { run } = await test.runs.rerunRun({ runId });

    expect(await keptBy(run?.runId ?? "")).toEqual(["a"]);
  });
});

describe("a handler", () => {
  it("makes artifacts that belong to the run's owner, and reads them back as streams", async () => {
    await start({
      async *develop(_, { artifacts }) {
        const cover = await artifacts.create(
          (async function* () {
            yield new TextEncoder().encode("one ");
            yield new TextEncoder().encode("two");
          })(),
          { name: "words.txt", mediaType: "text/plain" },
        );
        const opened = await artifacts.open(cover);
        const tail = await artifacts.open(cover.artifactId, { offset: 4 });
        const text = new TextDecoder().decode(await opened.bytes()) + new TextDecoder().decode(await tail.bytes());
        yield { update: { case: "result", value: { cover: { ...cover, name: text } } } };
      },
    });
    let result: Artifact | undefined;
    for await (const { update } of test.gallery.develop({})) {
      if (update.case === "result") result = update.value.cover;
    }

    expect(result).toMatchObject({ mediaType: "text/plain", size: 7n, name: "one twotwo", owner: inProcess });
  });

  it("keeps what its updates, its steps and its result refer to, and what it has made or opened", async () => {
    await start({
      async *develop(_, context) {
        const made = await context.artifacts.create("made");
        await context.artifacts.open(named["opened"]?.artifactId ?? "");
        yield { update: { case: "preview", value: named["preview"] as Artifact } };
        yield { update: { case: "page", value: { cover: named["page"] as Artifact } } };
        await step(context, "draw", AlbumSchema, () => ({ cover: named["step"] as Artifact }));
        expect(made.size).toBe(4n);
        yield { update: { case: "result", value: { parts: [{ cover: named["result"] as Artifact }] } } };
      },
    });
    const named: Record<string, Artifact> = {};
    for (const name of ["opened", "preview", "page", "step", "result"]) named[name] = await upload(name);
    const { runId } = await develop({});

    expect(await keptBy(runId)).toEqual(["", "opened", "page", "preview", "result", "step"]);
  });

  it("fails when its result refers to what is not there", async () => {
    await start({
      async *develop() {
        yield { update: { case: "result", value: { cover: { artifactId: "f".repeat(32) } } } };
      },
    });
    const error = await rejection(develop({}), Code.NotFound);

    expect(error.rawMessage).toContain("f".repeat(32));
  });

  it("hears what it does wrong", async () => {
    const errors: ConnectError[] = [];
    await start({
      async *develop(_, { artifacts }) {
        for (const wrong of [
          () => artifacts.create("x", { name: "../x" }),
          () => artifacts.create("x", { mediaType: "text/html\r\nx: y" }),
          () => artifacts.open("0".repeat(32)),
          () => artifacts.open("nonsense"),
        ]) {
          await wrong().catch((error: ConnectError) => errors.push(error));
        }
        yield { update: { case: "result", value: {} } };
      },
    });
    await develop({});

    expect(errors.map(({ code }) => Code[code])).toEqual([
      "InvalidArgument",
      "InvalidArgument",
      "NotFound",
      "NotFound",
    ]);
  });

  it("makes the same artifact in a retaken attempt", async () => {
    const made: string[] = [];
    await start({
      async *develop(_, { artifacts, run }) {
        made.push((await artifacts.create("the same")).artifactId);
        if (run.attempt === 1) throw new ConnectError("again", Code.Unavailable);
        yield { update: { case: "result", value: {} } };
      },
    });
    const developing = develop({});
    await test.clock.advance(1_000);
    await developing;

    expect(made).toHaveLength(2);
    expect(new Set(made).size).toBe(1);
  });

  it("stops writing when its attempt must stop, and the half is gone", async () => {
    const reached = Promise.withResolvers<void>();
    let thrown: unknown;
    await start({
      async *develop(_, { artifacts }) {
        await artifacts
          .create(
            (async function* () {
              yield new Uint8Array(10);
              reached.resolve();
              await new Promise(() => undefined);
            })(),
          )
          .catch((error: unknown) => {
            thrown = error;
            throw error;
          });
        yield { update: { case: "result", value: {} } };
      },
    });
    const { run } = await test.runs.startRun({ workflow: "retake.test.v1.GalleryService/Develop" });
    await reached.promise;
    await test.runs.cancelRun({ runId: run?.runId ?? "" });
    await test.clock.advance(1_000);

    expect(thrown).toBeInstanceOf(ConnectError);
    expect(await test.storage.artifacts.list({}, { limit: 10 })).toEqual([]);
  });

  it("hands artifacts to a child, which keeps them itself", async () => {
    let child: string | undefined;
    await start({
      frame: ({ image }, { run }) => {
        child = run.runId;
        return image === undefined ? {} : { image };
      },
      async *develop({ image }, context) {
        const framed = await call(context, "frame", GalleryService.method.frame, image === undefined ? {} : { image });
        yield { update: { case: "result", value: framed.image === undefined ? {} : { cover: framed.image } } };
      },
    });
    const { runId } = await develop({ image: await upload("a") });

    expect(await keptBy(child ?? "")).toEqual(["a"]);
    expect(await keptBy(runId)).toEqual(["a"]);
  });
});

describe("a rerun that keeps steps", () => {
  it("keeps what they refer to, and executes a step again whose artifact is gone", async () => {
    let executions = 0;
    let fail = true;
    await start({
      async *develop(_, context) {
        const album = await step(context, "draw", AlbumSchema, async () => {
          executions++;
          return { cover: await context.artifacts.create("drawn", { name: "drawn" }) };
        });
        if (fail) throw new ConnectError("no", Code.InvalidArgument);
        yield { update: { case: "result", value: album } };
      },
    });
    const failed = await rejection(develop({}), Code.InvalidArgument);
    // In the headers, and once more in the trailers.
    const runId = failed.metadata.get("retake-run-id")?.slice(0, 36) ?? "";
    expect(await keptBy(runId)).toEqual(["drawn"]);
    const again = (await test.runs.rerunRun({ runId })).run?.runId ?? "";
    await test.clock.advance(1_000);
    expect(await keptBy(again)).toEqual(["drawn"]);
    expect(executions).toBe(1);

    // As if it had been lost: nobody keeps it, and its time is over.
    await test.storage.artifacts.release([runId, again]);
    await test.storage.artifacts.removeUnkept(test.clock.now() + 1, 10);
    fail = false;
    const third = (await test.runs.rerunRun({ runId })).run?.runId ?? "";
    await test.clock.advance(1_000);
    expect(executions).toBe(2);
    expect(await keptBy(third)).toEqual(["drawn"]);
  });
});

describe("retention of artifacts", () => {
  it("never takes what an open run needs, however old", async () => {
    const goOn = Promise.withResolvers<void>();
    const read: string[] = [];
    await start(
      {
        async *develop({ image }, { artifacts }) {
          const made = await artifacts.create("made");
          await goOn.promise;
          for (const artifact of [image as Artifact, made]) {
            read.push(new TextDecoder().decode(await (await artifacts.open(artifact)).bytes()));
          }
          yield { update: { case: "result", value: {} } };
        },
      },
      { artifacts: { gracePeriod: { seconds: 60n } } },
    );
    const [image, unkept] = [await upload("old"), await upload("unkept")];
    const developing = develop({ image });
    await test.clock.advance(hour / 2);
    expect(await exists(unkept)).toBe(false);
    goOn.resolve();
    await developing;

    expect(read).toEqual(["old", "made"]);
  });

  it("finds keepers that never became runs, because the process ended in between", async () => {
    await start();
    const image = await upload("a");
    await test.storage.artifacts.keep("01936b2c-8a4e-7f31-9d05-6c1e2b7a4f88", [image.artifactId]);
    await test.clock.advance(5 * 60_000);
    expect(await keptBy("01936b2c-8a4e-7f31-9d05-6c1e2b7a4f88")).toEqual(["a"]);
    await test.clock.advance(10 * 60_000);
    expect(await keptBy("01936b2c-8a4e-7f31-9d05-6c1e2b7a4f88")).toEqual([]);
    await test.clock.advance(day + 60_000);

    expect(await exists(image)).toBe(false);
  });

  it("removes uploads that nobody goes on with", async () => {
    await start();
    const broken = test.storage.artifacts.write(
      (async function* () {
        yield new Uint8Array(10);
        throw new Error("cut");
      })(),
      { owner: inProcess, name: "", mediaType: "text/plain", uploadId: "u" },
    );
    await broken.catch(() => undefined);
    await test.clock.advance(23 * hour);
    expect((await test.files.getUpload({ uploadId: "u" })).offset).toBe(10n);
    await test.clock.advance(2 * hour);

    await rejection(test.files.getUpload({ uploadId: "u" }), Code.NotFound);
  });
});
