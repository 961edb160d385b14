import sharp from "sharp";
import { type View, viewAt } from "./camera.ts";
import { FilmTooLargeError } from "./errors.ts";
import { encodeToFit } from "./fit.ts";
import { drawMaster } from "./master.ts";
import { drawOverlays } from "./overlay.ts";
import { drawOver, type Pixels, rawInput } from "./picture.ts";
import { type Shot, sceneName } from "./storyboard.ts";
import { animationOverhead, writeAnimation } from "./webp-animation.ts";

/** The form of every frame of a film. */
export interface FrameFormat {
  readonly width: number;
  readonly height: number;
  /** Frames a second. */
  readonly fps: number;
}

/** How work is observed and stopped. */
export interface WorkOptions {
  readonly signal: AbortSignal;
  /** How much is done, from 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
}

/** A clip is a journaled step: some 300 KiB for two seconds of 640 x 360, and never more than this. */
export const maxClipBytes = 3 * 1024 * 1024;

/** How a scene is rendered. */
export interface SceneOptions extends WorkOptions {
  /** The clip is encoded at a lower quality rather than exceed this. Default: {@link maxClipBytes}. */
  readonly maxBytes?: number;
}

/**
 * Draws one scene as a clip of its own: an animated WebP of all its frames, tail included. The same shot gives the same
 * bytes. Throws a {@link StoryboardError} when its image cannot be decoded, a {@link FilmTooLargeError} when nothing fits.
 */
export async function renderScene(
  shot: Shot,
  format: FrameFormat,
  { signal, onProgress, maxBytes = maxClipBytes }: SceneOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  signal.throwIfAborted();
  const drawFrame = await prepareFrames(shot, format);
  signal.throwIfAborted();
  const count = shot.frames + shot.tailFrames;
  const frames = await encodeToFit(count, async (index, quality) => encodeStill(await drawFrame(index), quality), {
    maxBytes: maxBytes - animationOverhead.head,
    overhead: animationOverhead.frame,
    signal,
    onFrame: (done) => onProgress?.(done / count),
  });
  if (frames === undefined) {
    throw new FilmTooLargeError(
      `The clip of ${sceneName(shot)}, ${count} frames of ${format.width} x ${format.height}, does not fit into ${maxBytes} bytes: make the scene shorter, the frames smaller or fewer.`,
    );
  }
  return writeAnimation(format, frames, format.fps);
}

/** Draws what the frames of a shot have in common, and returns the function that draws a frame by its index. */
export async function prepareFrames(shot: Shot, format: FrameFormat): Promise<(index: number) => Promise<Pixels>> {
  const [master, overlays] = await Promise.all([drawMaster(shot, format), drawOverlays(shot, format)]);
  const last = Math.max(1, shot.frames + shot.tailFrames - 1);
  return async (index) => {
    const frame = await lookThrough(viewAt(shot.camera, index / last), master, format);
    for (const overlay of overlays) drawOver(frame, overlay, overlay.left, overlay.top);
    return frame;
  };
}

/** Encodes a frame as a still WebP. Effort 2 takes half as long as the default, 4, and gives hardly more bytes. */
export async function encodeStill(frame: Pixels, quality: number): Promise<Uint8Array> {
  return sharp(frame.data, rawInput(frame)).webp({ quality, effort: 2 }).toBuffer();
}

async function lookThrough(view: View, master: Pixels, { width, height }: FrameFormat): Promise<Pixels> {
  const data = await sharp(master.data, rawInput(master))
    .extract(regionOf(view, master))
    .resize(width, height, { fit: "fill", kernel: "cubic" })
    .raw()
    .toBuffer();
  return { data, width, height, channels: 3 };
}

function regionOf(view: View, { width, height }: Pixels): { left: number; top: number; width: number; height: number } {
  const left = Math.round(view.left * width);
  const top = Math.round(view.top * height);
  return {
    left,
    top,
    width: Math.min(width - left, Math.round(view.size * width)),
    height: Math.min(height - top, Math.round(view.size * height)),
  };
}
