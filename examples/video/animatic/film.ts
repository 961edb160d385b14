import sharp from "sharp";
import { EncoderMissingError, FilmTooLargeError } from "./errors.ts";
import { encodeToFit, qualities } from "./fit.ts";
import { framesAtOnce, mapInOrder } from "./in-order.ts";
import { canEncodeMp4, encodeMp4 } from "./mp4.ts";
import { mix, type Pixels } from "./picture.ts";
import { encodeStill, type WorkOptions } from "./scene.ts";
import type { ShootingPlan } from "./storyboard.ts";
import { type FilmFrame, timelineOf } from "./timeline.ts";
import { animationOverhead, readAnimation, writeAnimation } from "./webp-animation.ts";

/** What a film is delivered as. */
export type FilmFormat = "mp4" | "webp";

/** A finished film. */
export interface Film {
  readonly content: Uint8Array;
  readonly mediaType: "video/mp4" | "image/webp";
}

/** How a film is joined. */
export interface FilmOptions extends WorkOptions {
  /** `auto` is MP4 where ffmpeg can encode it, else WebP. */
  readonly format: FilmFormat | "auto";
  /** The film is encoded at a lower quality rather than exceed this. */
  readonly maxBytes: number;
  /** The program for MP4. Default: `ffmpeg`, looked up on the PATH. */
  readonly ffmpeg?: string;
}

/**
 * Joins the clips of a plan's shots into a film, dissolving each into the next. A WebP keeps the frames of the clips as they
 * are; an MP4 decodes one at a time. Throws an {@link EncoderMissingError} when MP4 is asked for and ffmpeg is missing,
 * a {@link FilmTooLargeError} when nothing fits into `maxBytes`.
 */
export async function assembleFilm(
  plan: ShootingPlan,
  clips: readonly Uint8Array[],
  { format, maxBytes, ffmpeg = "ffmpeg", signal, onProgress }: FilmOptions,
): Promise<Film> {
  signal.throwIfAborted();
  const stills = clips.map((clip) => readAnimation(clip).frames);
  const timeline = timelineOf(plan);
  const report = (done: number) => onProgress?.(done / timeline.length);
  if (format !== "webp") {
    if (await canEncodeMp4(ffmpeg, signal)) {
      const open = () => rawFrames(timeline, stills, signal, report);
      const { width, height, fps, frames } = plan;
      const content = await encodeMp4(open, { width, height, fps, frames, maxBytes, ffmpeg, signal });
      return { content, mediaType: "video/mp4" };
    }
    if (format === "mp4") {
      throw new EncoderMissingError(
        `An MP4 needs ffmpeg with libx264, and "${ffmpeg}" on the server's PATH is not that: install it, or ask for WebP.`,
      );
    }
  }
  return { content: await encodeWebp(plan, timeline, stills, maxBytes, signal, report), mediaType: "image/webp" };
}

async function encodeWebp(
  plan: ShootingPlan,
  timeline: readonly FilmFrame[],
  stills: readonly (readonly Uint8Array[])[],
  maxBytes: number,
  signal: AbortSignal,
  onFrame: (done: number) => void,
): Promise<Uint8Array> {
  const encode = async (index: number, quality: number) => {
    const frame = at(timeline, index);
    // At the clips' own quality a frame that is seen alone is already encoded.
    if (quality === qualities[0] && frame.next === undefined) return stillOf(stills, frame);
    return encodeStill(await developed(frame, stills), quality);
  };
  const frames = await encodeToFit(timeline.length, encode, {
    maxBytes: maxBytes - animationOverhead.head,
    overhead: animationOverhead.frame,
    signal,
    onFrame,
  });
  if (frames === undefined) {
    throw new FilmTooLargeError(
      `The film, ${timeline.length} frames of ${plan.width} x ${plan.height}, does not fit into ${maxBytes} bytes as WebP: make it shorter, its frames smaller or fewer, or ask for MP4.`,
    );
  }
  return writeAnimation(plan, frames, plan.fps);
}

/** The frames of a film as raw pixels, developed a few at a time. */
async function* rawFrames(
  timeline: readonly FilmFrame[],
  stills: readonly (readonly Uint8Array[])[],
  signal: AbortSignal,
  onFrame: (done: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  let done = 0;
  for await (const frame of mapInOrder(timeline, framesAtOnce, signal, (frame) => developed(frame, stills))) {
    yield frame.data;
    onFrame(++done);
  }
}

async function developed(frame: FilmFrame, stills: readonly (readonly Uint8Array[])[]): Promise<Pixels> {
  const picture = await decode(stillOf(stills, frame));
  if (frame.next === undefined) return picture;
  return mix(picture, await decode(stillOf(stills, frame.next)), frame.next.share);
}

async function decode(still: Uint8Array): Promise<Pixels> {
  const { data, info } = await sharp(still).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: 3 };
}

function stillOf(
  stills: readonly (readonly Uint8Array[])[],
  { clip, frame }: { clip: number; frame: number },
): Uint8Array {
  return at(at(stills, clip), frame);
}

function at<T>(list: readonly T[], index: number): T {
  if (index >= list.length) throw new Error(`A clip does not belong to this plan: it has no frame ${index}.`);
  return list[index] as T;
}
