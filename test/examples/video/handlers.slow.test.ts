import { join } from "node:path";
import { create, fromBinary, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { type RetakeClient, RunFailedError, type RunHandle } from "retake/client";
import { BadRequestSchema, ErrorInfoSchema } from "retake/gen/google/rpc/error_details_pb.js";
import type { RunEvent } from "retake/gen/retake/v1/run_pb.js";
import { RunView } from "retake/gen/retake/v1/run_service_pb.js";
import sharp from "sharp";
import { afterEach, describe, expect, it, vi } from "vitest";
import type * as scene from "../../../examples/video/animatic/scene.ts";
import { renderScene } from "../../../examples/video/animatic/scene.ts";
import { writeAnimation } from "../../../examples/video/animatic/webp-animation.ts";
import {
  AnimaticRequestSchema,
  type AnimaticResponseSchema,
  RenderedSceneSchema,
  TextToVideoResponseSchema,
  type Video,
  VideoFormat,
  VideoService,
} from "../../../examples/video/gen/storycore/video/v1/video_service_pb.js";
import { describeWithTool } from "../../tools.ts";
import { dataDirectory, startVideoServer } from "./video-server.ts";

// Renders as ever, but tells what it was asked for.
vi.mock(import("../../../examples/video/animatic/scene.ts"), { spy: true });
const { renderScene: render } = await vi.importActual<typeof scene>("../../../examples/video/animatic/scene.ts");

const { animatic } = VideoService.method;

afterEach(() => {
  vi.mocked(renderScene).mockReset();
});

type AnimaticInit = MessageInitShape<typeof AnimaticRequestSchema>;

/** A film of so many scenes, three small frames each, on which nobody waits long. */
function film(scenes: number, rest: AnimaticInit = {}): AnimaticInit {
  return {
    width: 64,
    height: 64,
    fps: 10,
    crossFade: durationFromMs(100),
    format: VideoFormat.WEBP,
    scenes: Array.from({ length: scenes }, (_, index) => ({
      title: `Scene ${index + 1}`,
      duration: durationFromMs(300),
    })),
    ...rest,
  };
}

/** The numbers of the scenes that were rendered, in order. */
function rendered(): number[] {
  return vi.mocked(renderScene).mock.calls.map(([shot]) => shot.number);
}

async function eventsOf(run: RunHandle<unknown>): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const update of run.events({ view: RunView.FULL })) {
    if (update.kind === "event") events.push(update.event);
  }
  return events;
}

/** What a journal says of one kind, in order. */
function told<Case extends NonNullable<RunEvent["event"]["case"]>>(events: readonly RunEvent[], kind: Case) {
  type Told = Extract<RunEvent["event"], { case: Case }>["value"];
  return events.flatMap(({ event }) => (event.case === kind ? [event.value as Told] : []));
}

async function videoOf(run: RunHandle<MessageShape<typeof AnimaticResponseSchema>>): Promise<Video> {
  const { update } = await run.result();
  if (update.case !== "video") throw new Error(`the result is a ${update.case}`);
  return update.value;
}

/** The file of a film, as the server gives it. */
async function fileOf(client: RetakeClient, { artifact }: Video): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await client.artifacts.get(artifact?.artifactId ?? "")) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Calls Animatic directly, as any client of gRPC does, and reads its stream to the end. */
async function call(client: RetakeClient, request: AnimaticInit) {
  const updates: MessageShape<typeof AnimaticResponseSchema>["update"][] = [];
  for await (const { update } of client.client(VideoService).animatic(request)) updates.push(update);
  return updates;
}

async function rejection(promise: Promise<unknown>): Promise<ConnectError> {
  return promise.then(
    () => expect.fail("it resolves"),
    (error: unknown) => ConnectError.from(error),
  );
}

/** How a run fails. */
async function failureOf(run: RunHandle<unknown>) {
  const error = await run.result().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(RunFailedError);
  return (error as RunFailedError).failure;
}

describe("Animatic", () => {
  it("delivers the film as an artifact, one durable step a scene", async () => {
    const { client } = await startVideoServer(await dataDirectory());
    const run = await client.start(animatic, film(3));
    const video = await videoOf(run);
    expect(video).toMatchObject({ mediaType: "image/webp", width: 64, height: 64, frames: 9, fps: 10 });
    expect(video.duration).toMatchObject({ seconds: 0n, nanos: 900_000_000 });
    expect(video.artifact).toMatchObject({ name: "animatic.webp", mediaType: "image/webp" });
    const pages = await sharp(await fileOf(client, video)).metadata();
    expect(pages).toMatchObject({ format: "webp", width: 64, height: 64, pages: 9 });
    const kept = [];
    for await (const { artifactId } of client.artifacts.list({ runId: run.id })) kept.push(artifactId);
    expect(kept).toEqual([video.artifact?.artifactId]);

    const events = await eventsOf(run);
    const steps = told(events, "stepCompleted");
    expect(steps.map(({ name, tries }) => [name, tries])).toEqual([
      ["scene-1", 1],
      ["scene-2", 1],
      ["scene-3", 1],
    ]);
    // Two of three scenes fade into the next one, and are a frame longer for that.
    const scenes = steps.map(({ result }) => fromBinary(RenderedSceneSchema, result?.value?.value ?? new Uint8Array()));
    expect(scenes.map(({ frames }) => frames)).toEqual([4, 4, 3]);
    expect(rendered()).toEqual([1, 2, 3]);
    expect(events.at(-1)?.event.case).toBe("succeeded");
  });

  it("tells how far it has come, never backwards, by scene and then for the whole", async () => {
    const { client } = await startVideoServer(await dataDirectory());
    const updates = await call(client, film(2));
    expect(updates.at(-1)?.case).toBe("video");
    const progress = updates.flatMap((update) => (update.case === "progress" ? [update.value] : []));
    const stages = new Set(progress.map(({ stage, step, steps, message }) => `${stage} ${step}/${steps}: ${message}`));
    const fractions = progress.flatMap(({ fraction }) => fraction ?? []);
    expect(fractions).toEqual([...fractions].sort((one, two) => one - two));
    expect([...stages]).toEqual(
      expect.arrayContaining([
        "drawing 1/3: scene 1 of 2: Scene 1",
        "drawing 2/3: scene 2 of 2: Scene 2",
        "encoding 3/3: 6 frames",
      ]),
    );
  });

  it("goes on after a restart where the journal ends, and renders no scene twice", async () => {
    const directory = await dataDirectory();
    const before = await startVideoServer(directory);
    const stuck = Promise.withResolvers<void>();
    vi.mocked(renderScene).mockImplementation(async (shot, format, options) => {
      if (shot.number < 3) return render(shot, format, options);
      stuck.resolve();
      return new Promise((_, reject) => {
        options.signal.addEventListener("abort", () => reject(options.signal.reason));
      });
    });
    const { id } = await before.client.start(animatic, film(4));
    await stuck.promise;
    before.client.close();
    await before.server.close({ drainTimeoutMs: 0 });
    expect(rendered()).toEqual([1, 2, 3]);

    vi.mocked(renderScene).mockReset();
    const after = await startVideoServer(directory);
    const run = after.client.attach(id, animatic);
    const video = await videoOf(run);
    expect(rendered()).toEqual([3, 4]);
    const events = await eventsOf(run);
    expect(told(events, "stepCompleted").map(({ name }) => name)).toEqual(["scene-1", "scene-2", "scene-3", "scene-4"]);
    expect(told(events, "attemptFailed")).toMatchObject([{ attempt: 1, counted: false }]);

    // The film is the one that an undisturbed run gives.
    const undisturbed = await videoOf(await after.client.start(animatic, film(4)));
    expect(video.artifact?.artifactId).toBe(undisturbed.artifact?.artifactId);
  });

  it("takes two calls with one request_id for one", async () => {
    const { client } = await startVideoServer(await dataDirectory());
    const request = film(1, { requestId: "boat-1" });
    const [one, two] = [await client.start(animatic, request), await client.start(animatic, request)];
    expect([two.id, two.joined]).toEqual([one.id, true]);
    await Promise.all([one.result(), two.result()]);
    expect(rendered()).toEqual([1]);
  });

  it("stops drawing when its run is cancelled", async () => {
    const { client } = await startVideoServer(await dataDirectory());
    const run = await client.start(animatic, film(24));
    for await (const update of run.events()) {
      if (update.kind === "event" && update.event.event.case === "stepCompleted") break;
    }
    await run.cancel("wrong boat");
    const events = await eventsOf(run);
    expect(told(events, "cancelled")).toMatchObject([{ reason: "wrong boat", acknowledged: true }]);
    expect(rendered().length).toBeLessThan(24);
  });

  it.each([
    ["no picture at all", Buffer.from("neither picture nor film"), /The image of scene 2 \("Harbour"\) is not a PNG/],
    [
      "a picture that is cut off",
      Buffer.from("89504e470d0a1a0a0000000d49484452", "hex"),
      /The image of scene 2 \("Harbour"\) cannot be decoded: .+ Send it whole/,
    ],
  ])("refuses %s, naming the scene, and does not try again", async (_, image, message) => {
    const { client } = await startVideoServer(await dataDirectory());
    const duration = durationFromMs(300);
    const request = film(0, { scenes: [{ duration }, { duration, title: "Harbour", image }] });
    const run = await client.start(animatic, request);
    const failure = await failureOf(run);
    expect(failure).toMatchObject({ code: Code.InvalidArgument, reason: "STORYBOARD", retryable: false });
    expect(failure.message).toMatch(message);
    const { statistics } = await run.get();
    expect(statistics).toMatchObject({ attempts: 1, retries: 0 });
    expect(told(await eventsOf(run), "retryScheduled")).toEqual([]);

    // Who calls directly gets the same as an error of gRPC.
    const direct = await rejection(call(client, request));
    expect(direct.code).toBe(Code.InvalidArgument);
    expect(direct.rawMessage).toMatch(message);
    expect(direct.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "STORYBOARD" }]);
  });

  it("draws from images that are artifacts just as from those in the request", async () => {
    const { client } = await startVideoServer(await dataDirectory());
    const image = await sharp({ create: { width: 80, height: 60, channels: 3, background: "#336699" } })
      .png()
      .toBuffer();
    const imageArtifact = await client.artifacts.put(image, { name: "sea.png", mediaType: "image/png" });
    const duration = durationFromMs(300);
    const [inline, referred] = [
      await client.start(animatic, film(0, { scenes: [{ duration }, { duration, image }] })),
      await client.start(animatic, film(0, { scenes: [{ duration }, { duration, imageArtifact }] })),
    ];
    const [one, two] = [await videoOf(inline), await videoOf(referred)];
    expect(two.artifact?.artifactId).toBe(one.artifact?.artifactId);
    const alone = await client.start(animatic, film(0, { imageArtifact, frames: 3 }));
    expect((await videoOf(alone)).frames).toBe(3);

    const wrong = await client.artifacts.put(Buffer.from("no picture"));
    const failure = await failureOf(
      await client.start(animatic, film(0, { scenes: [{ duration, title: "Harbour", imageArtifact: wrong }] })),
    );
    expect(failure).toMatchObject({ code: Code.InvalidArgument, reason: "STORYBOARD" });
    expect(failure.message).toMatch(/The image of scene 1 \("Harbour"\) is not a PNG/);
  });

  it("refuses more frames than it draws, saying how many", async () => {
    const { client } = await startVideoServer(await dataDirectory());
    const scenes = Array.from({ length: 2 }, () => ({ duration: durationFromMs(60_000) }));
    const failure = await failureOf(await client.start(animatic, film(0, { fps: 60, scenes })));
    expect(failure).toMatchObject({ code: Code.InvalidArgument, reason: "STORYBOARD" });
    expect(failure.message).toMatch(/asks for 7200 frames, and 1800 are the limit/);
    expect(rendered()).toEqual([]);
  });

  it("lists every rule that a request breaks, before a run exists", async () => {
    const { client } = await startVideoServer(await dataDirectory());
    const bad: AnimaticInit = {
      width: 65,
      height: 32,
      prompt: "a boat",
      scenes: [{ duration: durationFromMs(1) }, { image: new Uint8Array(3) }],
    };
    const started = await rejection(client.start(animatic, bad));
    const direct = await rejection(call(client, bad));
    for (const error of [started, direct]) {
      expect(error.code).toBe(Code.InvalidArgument);
      const [details] = error.findDetails(BadRequestSchema);
      const fields = details?.fieldViolations.map(({ field }) => field) ?? [];
      expect(fields).toEqual(
        expect.arrayContaining([
          expect.stringMatching(/width$/),
          expect.stringMatching(/height$/),
          expect.stringMatching(/scenes\[0\]\.duration$/),
          expect.stringMatching(/scenes\[1\]\.image$/),
        ]),
      );
      const descriptions = details?.fieldViolations.map(({ description }) => description).join("\n");
      expect(descriptions).toContain("must be even");
      expect(descriptions).toContain("are for a film of one scene");
    }
    for await (const run of client.list()) expect.fail(`${run.runId} exists`);
  });

  it("says so when MP4 is asked for and cannot be encoded, and gives WebP where that will do", async () => {
    const directory = await dataDirectory();
    const { client } = await startVideoServer(directory, { ffmpeg: join(directory, "no-ffmpeg") });
    const failure = await failureOf(await client.start(animatic, film(1, { format: VideoFormat.MP4 })));
    expect(failure).toMatchObject({ code: Code.FailedPrecondition, reason: "ENCODER_MISSING", retryable: false });
    expect(failure.message).toMatch(/install it, or ask for WebP/);
    const video = await videoOf(await client.start(animatic, film(1, { format: VideoFormat.AUTO })));
    expect(video.mediaType).toBe("image/webp");
  });

  it("lowers the quality of a film until it is as small as the server wants films to be", {
    timeout: 60_000,
  }, async () => {
    const maxFilmBytes = 4_128_768;
    const { client } = await startVideoServer(await dataDirectory(), { maxFilmBytes });
    // Noise, which no encoder makes small: each scene fits into a step, both together are larger than a film may be.
    const size = { width: 448, height: 384 };
    const still = await noise(size.width, size.height);
    vi.mocked(renderScene).mockImplementation(async ({ frames }, { fps }) =>
      writeAnimation(size, Array<Uint8Array>(frames).fill(still), fps),
    );
    const scenes = [{ duration: durationFromMs(2_000) }, { duration: durationFromMs(2_000) }];
    const run = await client.start(animatic, film(0, { ...size, scenes, crossFade: durationFromMs(0) }));
    const video = await videoOf(run);
    const steps = told(await eventsOf(run), "stepCompleted").map(({ result }) => Number(result?.size));
    expect(Math.min(...steps)).toBeGreaterThan(2_100_000);
    expect(video.frames).toBe(40);
    const { length } = await fileOf(client, video);
    expect(length).toBeGreaterThan(1_000_000);
    expect(length).toBeLessThanOrEqual(maxFilmBytes);
  });
});

describeWithTool("ffmpeg", "Animatic with ffmpeg", () => {
  it("delivers an MP4", async () => {
    const { client } = await startVideoServer(await dataDirectory());
    const video = await videoOf(await client.start(animatic, film(2, { format: VideoFormat.AUTO })));
    expect(video).toMatchObject({ mediaType: "video/mp4", frames: 6 });
    expect((await fileOf(client, video)).toString("latin1", 4, 8)).toBe("ftyp");
  });
});

describe("the workflows of engines", () => {
  const startRun = async (client: RetakeClient, name: string, request: object) => {
    const input = { case: "json", value: JSON.stringify(request) } as const;
    const { run } = await client.runs.startRun({ workflow: `${VideoService.typeName}/${name}`, input });
    return client.attach(run?.runId ?? "");
  };
  const small = { width: 256, height: 256, frames: 5, fps: 10 };

  it("are answered by an animatic of the prompt, sentence by sentence, where there is no engine", async () => {
    const { client } = await startVideoServer(await dataDirectory());
    const prompt = "A boat. A storm! Then: calm.";
    const handle = await startRun(client, "TextToVideo", { ...small, frames: 33, prompt });
    await lastOf(handle);
    const run = await handle.get();
    expect(run.statistics).toMatchObject({ attempts: 1, fallbackUsed: `${VideoService.typeName}/Animatic` });
    const [{ runId = "", reason = "" } = {}] = run.fallbacks;
    expect(reason).toMatch(/^ENGINE_MISSING: TextToVideo needs a text-to-video engine, and this server has none/);
    const kept: unknown[] = [];
    for await (const artifact of client.artifacts.list({ runId: handle.id })) kept.push(artifact);
    expect(kept).toMatchObject([{ name: expect.stringMatching(/^animatic\./) }]);
    const child = await client.attach(runId).get({ view: RunView.FULL });
    const request = fromBinary(AnimaticRequestSchema, child.input?.value?.value ?? new Uint8Array());
    expect(request).toMatchObject({ ...{ width: 256, height: 256, fps: 10, prompt: "" }, scenes: [{}, {}, {}] });
    expect(request.scenes.map(({ text }) => text)).toEqual(["A boat.", "A storm!", "Then: calm."]);
    expect(request.scenes.map(({ duration }) => duration?.nanos)).toEqual([100_000_000, 100_000_000, 100_000_000]);
  });

  it("are answered by an animatic of their image", async () => {
    const { client } = await startVideoServer(await dataDirectory());
    const image = Buffer.from(await noise(64, 64)).toString("base64");
    const handle = await startRun(client, "ImageToVideo", { ...small, prompt: "a boat", image });
    await lastOf(handle);
    expect((await handle.get()).statistics?.fallbackUsed).toBe(`${VideoService.typeName}/Animatic`);
  });

  it("ask the engine that they have, and pass on what it sends", async () => {
    const engine = {
      async *textToVideo({ prompt }: { prompt?: string }) {
        if (prompt === "gone") throw new ConnectError("stream closed", Code.Canceled);
        yield create(TextToVideoResponseSchema, { update: { case: "video", value: { mediaType: "video/mp4" } } });
      },
    };
    const { client } = await startVideoServer(await dataDirectory(), { engine });
    const handle = await startRun(client, "TextToVideo", { ...small, prompt: "a boat" });
    await lastOf(handle);
    expect((await handle.get()).statistics).toMatchObject({ attempts: 1, fallbackUsed: "" });
    const lost = await startRun(client, "TextToVideo", { ...small, prompt: "gone" });
    for await (const update of lost.events()) {
      if (update.kind !== "event" || update.event.event.case !== "attemptFailed") continue;
      expect(update.event.event.value.failure).toMatchObject({
        code: Code.Unavailable,
        message: "the engine is gone: stream closed",
      });
      break;
    }
    await lost.cancel();
  });

  it("fail UNAVAILABLE at once where nothing stands in, and say which engine they miss", async () => {
    const { client } = await startVideoServer(await dataDirectory());
    const handle = await startRun(client, "Upscale", { video: Buffer.alloc(12).toString("base64") });
    const failure = await failureOf(handle);
    expect(failure).toMatchObject({ code: Code.Unavailable, reason: "ENGINE_MISSING" });
    expect(failure.message).toContain("Upscale needs an upscaling engine, and this server has none");
    expect(told(await eventsOf(handle), "retryScheduled")).toEqual([]);
  });
});

/** Waits for the end of a run that succeeds. */
async function lastOf(handle: RunHandle<unknown>): Promise<void> {
  for await (const update of handle.events()) {
    if (update.kind === "event" && update.event.event.case === "failed")
      throw new Error(JSON.stringify(update.event.event.value.failure?.message));
  }
}

/** A still WebP that is as large as one of this size gets. */
async function noise(width: number, height: number): Promise<Uint8Array> {
  const pixels = Buffer.alloc(width * height * 3);
  let state = 1;
  for (let index = 0; index < pixels.length; index++) {
    state = (state * 48_271) % 2_147_483_647;
    pixels[index] = state & 255;
  }
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .webp({ quality: 75 })
    .toBuffer();
}
