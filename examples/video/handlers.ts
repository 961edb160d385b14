import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { step, type WorkflowContext, type WorkflowImpl } from "retake";
import { ErrorInfoSchema } from "retake/gen/google/rpc/error_details_pb.js";
import {
  assembleFilm,
  EncoderError,
  EncoderMissingError,
  FilmTooLargeError,
  planShots,
  renderScene,
  type ShootingPlan,
  StoryboardError,
} from "./animatic/index.ts";
import { withImages } from "./artifact-images.ts";
import {
  type AnimaticRequest,
  type AnimaticResponseSchema,
  RenderedSceneSchema,
  type TextToVideoRequest,
  type TextToVideoResponse,
  VideoSchema,
  type VideoService,
} from "./gen/storycore/video/v1/video_service_pb.js";
import { filmFormatFrom, storyboardFrom } from "./storyboard-from.ts";

/** How the video workflows are carried out. */
export interface VideoHandlerOptions {
  /** The program that encodes MP4. Default: `ffmpeg`, looked up on the PATH. */
  readonly ffmpeg?: string;
  /** What generates films, called over gRPC. Default: there is none, and every attempt says so. */
  readonly engine?: Pick<Client<typeof VideoService>, "textToVideo">;
  /** A film that is larger is encoded at a lower quality. Default: 64 MiB. */
  readonly maxFilmBytes?: number;
}

/** Much more than 1,800 drawn frames need, and little enough to be joined in memory. */
const defaultMaxFilmBytes = 64 * 1024 * 1024;

/** Of the whole work, drawing the scenes takes about so much, and joining them the rest. */
const drawingShare = 0.75;

type AnimaticUpdate = MessageInitShape<typeof AnimaticResponseSchema>;

/**
 * The implementation of `storycore.video.v1.VideoService`: Animatic draws, one durable step a scene; TextToVideo asks its
 * engine, where it has one, and the others say which they miss.
 */
export function videoHandlers(options: VideoHandlerOptions = {}) {
  const { ffmpeg = "ffmpeg", maxFilmBytes = defaultMaxFilmBytes, engine } = options;
  return {
    textToVideo: (request: TextToVideoRequest, { signal }: WorkflowContext): AsyncIterable<TextToVideoResponse> =>
      engine === undefined
        ? withoutEngine("TextToVideo", "a text-to-video engine")
        : generated(engine, request, signal),
    imageToVideo: () => withoutEngine("ImageToVideo", "an image-to-video engine"),
    upscale: () => withoutEngine("Upscale", "an upscaling engine"),
    async *animatic(request: AnimaticRequest, context: WorkflowContext): AsyncGenerator<AnimaticUpdate> {
      try {
        yield* draw(request, context, { ffmpeg, maxFilmBytes });
      } catch (error) {
        throw asConnectError(error);
      }
    },
  } satisfies WorkflowImpl<typeof VideoService>;
}

async function* draw(
  request: AnimaticRequest,
  context: WorkflowContext,
  { ffmpeg, maxFilmBytes }: Required<Pick<VideoHandlerOptions, "ffmpeg" | "maxFilmBytes">>,
): AsyncGenerator<AnimaticUpdate> {
  const plan = planShots(storyboardFrom(await withImages(request, context.artifacts)));
  const steps = plan.shots.length + 1;
  const clips: Uint8Array[] = [];
  for (const shot of plan.shots) {
    const tell = (fraction: number) => ({
      stage: "drawing",
      fraction: (drawingShare * (clips.length + fraction)) / plan.shots.length,
      message: `scene ${shot.number} of ${plan.shots.length}${shot.title === "" ? "" : `: ${shot.title}`}`,
      step: shot.number,
      steps,
    });
    yield { update: { case: "progress", value: tell(0) } };
    const { clip } = await step(context, `scene-${shot.number}`, RenderedSceneSchema, async ({ signal }) => ({
      clip: await renderScene(shot, plan, { signal, onProgress: (fraction) => context.progress(tell(fraction)) }),
      frames: shot.frames + shot.tailFrames,
    }));
    clips.push(clip);
  }
  const tell = (fraction: number) => ({
    stage: "encoding",
    fraction: drawingShare + (1 - drawingShare) * fraction,
    message: `${plan.frames} frames`,
    step: steps,
    steps,
  });
  yield { update: { case: "progress", value: tell(0) } };
  const { content, mediaType } = await assembleFilm(plan, clips, {
    format: filmFormatFrom(request),
    maxBytes: maxFilmBytes,
    ffmpeg,
    signal: context.signal,
    onProgress: (fraction) => context.progress(tell(fraction)),
  });
  const name = `animatic.${mediaType === "video/mp4" ? "mp4" : "webp"}`;
  const artifact = await context.artifacts.create(content, { name, mediaType });
  yield { update: { case: "video", value: create(VideoSchema, { artifact, mediaType, ...factsOf(plan) }) } };
}

async function* generated(
  engine: Required<VideoHandlerOptions>["engine"],
  request: TextToVideoRequest,
  signal: AbortSignal,
): AsyncGenerator<TextToVideoResponse> {
  try {
    yield* engine.textToVideo(request, { signal });
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    // A stream that nobody here has cancelled ends so when its other end is gone.
    const isLost = !signal.aborted && (code === Code.Canceled || code === Code.Aborted);
    throw isLost ? new ConnectError(`the engine is gone: ${rawMessage}`, Code.Unavailable) : error;
  }
}

function factsOf({ width, height, frames, fps, seed }: ShootingPlan): MessageInitShape<typeof VideoSchema> {
  return {
    width,
    height,
    frames,
    fps,
    duration: durationFromMs(Math.round((frames * 1000) / fps)),
    seed: BigInt(seed),
  };
}

// biome-ignore lint/correctness/useYield: it ends before it could.
async function* withoutEngine(method: string, engine: string): AsyncGenerator<never> {
  throw failure(
    Code.Unavailable,
    "ENGINE_MISSING",
    `${method} needs ${engine}, and this server has none: configure a back-end for storycore.video.v1.VideoService (backends: in retake.yaml), or call Animatic, which draws a film from a storyboard or a prompt without any.`,
  );
}

/** What the caller is told: the errors of the animatic by their kind, everything else as it came. */
function asConnectError(error: unknown): unknown {
  if (error instanceof StoryboardError) return failure(Code.InvalidArgument, "STORYBOARD", error.message, error);
  if (error instanceof FilmTooLargeError)
    return failure(Code.ResourceExhausted, "FILM_TOO_LARGE", error.message, error);
  if (error instanceof EncoderMissingError)
    return failure(Code.FailedPrecondition, "ENCODER_MISSING", error.message, error);
  if (error instanceof EncoderError) return failure(Code.Internal, "ENCODER", error.message, error);
  return error;
}

/** None of these goes away by trying again, and gRPC has a header that says so (gRFC A6). */
function failure(code: Code, reason: string, message: string, cause?: unknown): ConnectError {
  const details = [{ desc: ErrorInfoSchema, value: { reason, domain: "storycore.video.v1" } }];
  return new ConnectError(message, code, { "grpc-retry-pushback-ms": "-1" }, details, cause);
}
