import sharp from "sharp";
import type { Pixels } from "../../../../examples/video/animatic/picture.ts";
import {
  planShots,
  type Scene,
  type ShootingPlan,
  type Shot,
  type Storyboard,
} from "../../../../examples/video/animatic/storyboard.ts";

/** A signal that never aborts. */
export const never: AbortSignal = new AbortController().signal;

export function sceneOf(scene: Partial<Scene> = {}): Scene {
  return { title: "", text: "", durationMs: 400, ...scene };
}

/** A plan of small, few frames, so that tests are quick. */
export function planOf(scenes: readonly Partial<Scene>[], storyboard: Partial<Storyboard> = {}): ShootingPlan {
  return planShots({
    width: 160,
    height: 90,
    fps: 10,
    crossFadeMs: 0,
    ...storyboard,
    scenes: scenes.map((scene) => sceneOf(scene)),
  });
}

export function shotOf(scene: Partial<Scene>, storyboard: Partial<Storyboard> = {}): Shot {
  const [shot] = planOf([scene], storyboard).shots;
  if (shot === undefined) throw new Error("a plan of one scene has one shot");
  return shot;
}

/** One colour everywhere. */
export function flat(width: number, height: number, colour: readonly [number, number, number]): Pixels {
  const data = Buffer.alloc(width * height * 3);
  for (let index = 0; index < data.length; index++) data[index] = colour[index % 3] as number;
  return { data, width, height, channels: 3 };
}

/** Decodes every frame of an animation, or the only one of a still. */
export async function decodeFrames(file: Uint8Array): Promise<Buffer[]> {
  const { pages = 1 } = await sharp(file).metadata();
  return Promise.all(Array.from({ length: pages }, (_, page) => sharp(file, { page }).removeAlpha().raw().toBuffer()));
}

/** The mean of all bytes between two rows. */
export function brightness({ data, width }: Pixels, fromRow: number, toRow: number): number {
  const rows = data.subarray(fromRow * width * 3, toRow * width * 3);
  return rows.reduce((sum, value) => sum + value, 0) / rows.length;
}

/** A picture whose columns tell where they are: the brightness grows from left to right. */
export async function slope(width: number, height: number): Promise<Buffer> {
  const data = Buffer.alloc(width * height * 3);
  for (let index = 0; index < data.length; index++) {
    data[index] = Math.round((255 * (Math.floor(index / 3) % width)) / (width - 1));
  }
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}
