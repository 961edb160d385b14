import { createHash } from "node:crypto";
import { type Backdrop, backdrops } from "./backdrops/index.ts";
import { type CameraMove, cameraMoves } from "./camera.ts";
import { StoryboardError } from "./errors.ts";
import { imageType } from "./image-type.ts";

/** What a film is made from. */
export interface Storyboard {
  readonly scenes: readonly Scene[];
  /** Pixels; even, because H.264 halves the resolution of colours. */
  readonly width: number;
  readonly height: number;
  /** Frames a second. */
  readonly fps: number;
  /** How long one scene dissolves into the next; shortened where a scene is shorter. 0 cuts. */
  readonly crossFadeMs: number;
  /** Varies what is drawn where a scene has no image. Default: derived from the words. */
  readonly seed?: number;
}

/** One scene of a storyboard. */
export interface Scene {
  /** Large, over the picture. Empty: none. */
  readonly title: string;
  /** Burnt in at the bottom. Empty: none. */
  readonly text: string;
  readonly durationMs: number;
  /** A PNG, JPEG or WebP. Default: the backdrop is drawn. */
  readonly image?: Uint8Array;
  /** What is drawn without an image. Default: each scene another. */
  readonly backdrop?: Backdrop;
  /** Default: each scene another. */
  readonly camera?: CameraMove;
}

/** A storyboard with every default resolved and its time cut into frames. */
export interface ShootingPlan {
  readonly shots: readonly Shot[];
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  /** Frames of the whole film. */
  readonly frames: number;
  readonly seed: number;
}

/** One scene of a shooting plan. */
export interface Shot {
  /** 1, 2, 3, … */
  readonly number: number;
  readonly title: string;
  readonly text: string;
  readonly image?: Uint8Array;
  readonly backdrop: Backdrop;
  readonly camera: CameraMove;
  /** Frames from its beginning to the beginning of the next shot. */
  readonly frames: number;
  /** Frames after those, seen only while the next shot fades in over them. */
  readonly tailFrames: number;
  /** Varies what is drawn. */
  readonly seed: number;
}

/** A film is drawn within minutes, not hours. */
export const maxFrames = 1800;

/** Resolves the defaults and cuts the time into frames; throws a {@link StoryboardError} on what cannot be drawn. */
export function planShots(storyboard: Storyboard): ShootingPlan {
  const { scenes, width, height, fps, crossFadeMs } = storyboard;
  if (scenes.length === 0) throw new StoryboardError("The storyboard has no scenes: give one at least.");
  if (width % 2 !== 0 || height % 2 !== 0) {
    throw new StoryboardError(`A film of ${width} x ${height} pixels cannot be encoded: both must be even.`);
  }
  const starts = [0];
  let endMs = 0;
  for (const scene of scenes) {
    endMs += scene.durationMs;
    // Rounded on the film's own time line, so that rounding does not add up over the scenes.
    starts.push(Math.max((starts.at(-1) ?? 0) + 1, Math.round((endMs * fps) / 1000)));
  }
  const frames = starts.at(-1) ?? 0;
  if (frames > maxFrames) {
    throw new StoryboardError(
      `The storyboard asks for ${frames} frames, and ${maxFrames} are the limit: shorten its scenes or lower fps (${fps}).`,
    );
  }
  const lengths = scenes.map((_, index) => (starts[index + 1] ?? 0) - (starts[index] ?? 0));
  const seed = storyboard.seed ?? seedOf(scenes);
  const shots = scenes.map((scene, index): Shot => {
    const number = index + 1;
    assertImage(scene, number);
    const fade = Math.round((crossFadeMs * fps) / 1000);
    return {
      number,
      title: scene.title,
      text: scene.text,
      ...(scene.image === undefined ? {} : { image: scene.image }),
      backdrop: scene.backdrop ?? cycled(backdrops, index),
      camera: scene.camera ?? cycled(cameraMoves, index),
      frames: lengths[index] ?? 0,
      tailFrames: Math.min(fade, lengths[index] ?? 0, lengths[index + 1] ?? 0),
      seed: (seed + number) % 2 ** 32,
    };
  });
  return { shots, width, height, fps, frames, seed };
}

/** How a message refers to a scene. */
export function sceneName({ number, title }: { number: number; title: string }): string {
  return title === "" ? `scene ${number}` : `scene ${number} (${JSON.stringify(title)})`;
}

function assertImage({ image, title }: Scene, number: number): void {
  if (image !== undefined && imageType(image) === undefined) {
    throw new StoryboardError(
      `The image of ${sceneName({ number, title })} is not a PNG, JPEG or WebP: convert it, or leave it out to have a backdrop drawn.`,
    );
  }
}

function cycled<T>(list: readonly T[], index: number): T {
  return list[index % list.length] as T;
}

function seedOf(scenes: readonly Scene[]): number {
  const words = JSON.stringify(scenes.map(({ title, text }) => [title, text]));
  return createHash("sha256").update(words).digest().readUInt32BE();
}
