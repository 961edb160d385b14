// An engine for films, as far as its callers can tell: a gRPC server of its own that generates what it is asked for, frame
// after frame. It paints without any model. `node engine.ts PORT RETAKE [PIXELS]` serves on a port of this machine, leaves
// its films with the Retake server at that target, since a film does not fit into a message, and has memory for frames of
// so many pixels.
import http2 from "node:http2";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { connectRetake } from "retake/client";
import { FailureCategory } from "retake/gen/retake/v1/options_pb.js";
import { FailureSchema } from "retake/gen/retake/v1/run_pb.js";
import { assembleFilm, planShots, renderScene } from "./animatic/index.ts";
import { type TextToVideoRequest, VideoService } from "./gen/storycore/video/v1/video_service_pb.js";

const [port = "0", retakeTarget = "", mostPixels = "Infinity"] = process.argv.slice(2);
const retake = connectRetake({ target: retakeTarget });

/** What a model would take for each step. */
const stepMs = 150;
const maxFilmBytes = 64 * 1024 * 1024;

async function* textToVideo(request: TextToVideoRequest, { signal }: HandlerContext) {
  const { width = 848, height = 480, frames = 121, fps = 24, steps = 20, seed = -1n } = request;
  if (width * height > Number(mostPixels)) throw outOfMemory(width, height);
  for (let step = 1; step <= steps; step++) {
    yield progress({ stage: "sampling", fraction: (0.8 * (step - 1)) / steps, step, steps });
    await sleep(stepMs, undefined, { signal });
  }
  yield progress({ stage: "decoding", fraction: 0.8 });
  const plan = planShots({
    scenes: [{ title: "", text: "", durationMs: (frames * 1000) / fps }],
    width,
    height,
    fps,
    crossFadeMs: 0,
    ...(seed < 0n ? {} : { seed: Number(seed) }),
  });
  const [shot] = plan.shots;
  if (shot === undefined) throw new TypeError("a film has a shot");
  const clip = await renderScene(shot, plan, { signal });
  const { content, mediaType } = await assembleFilm(plan, [clip], { format: "auto", maxBytes: maxFilmBytes, signal });
  const artifact = await retake.artifacts.put(content, { name: "film", mediaType, signal });
  const facts = { width, height, frames: plan.frames, fps, seed: BigInt(plan.seed) };
  const duration = durationFromMs(Math.round((plan.frames * 1000) / fps));
  yield { update: { case: "video" as const, value: { artifact, mediaType, duration, ...facts } } };
}

function progress(value: { stage: string; fraction: number; step?: number; steps?: number }) {
  return { update: { case: "progress" as const, value } };
}

function outOfMemory(width: number, height: number): ConnectError {
  const message = `out of memory: there is room for frames of ${mostPixels} pixels, and not for ${width} x ${height}`;
  const code = Code.ResourceExhausted;
  const value = { code, category: FailureCategory.MEMORY, reason: "OUT_OF_MEMORY", message, retryable: true };
  return new ConnectError(message, code, undefined, [{ desc: FailureSchema, value }]);
}

const routes = (router: ConnectRouter) => router.service(VideoService, { textToVideo });
http2
  .createServer(connectNodeAdapter({ routes }))
  .listen(Number(port), "127.0.0.1", function (this: http2.Http2Server) {
    const address = this.address();
    process.stdout.write(`${typeof address === "object" ? address?.port : port}\n`);
  });
