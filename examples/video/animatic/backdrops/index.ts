import { canvas, createDice, type Dice, vignette } from "./brush.ts";
import { forest } from "./forest.ts";
import { lighthouse } from "./lighthouse.ts";
import { mountains } from "./mountains.ts";
import { sea } from "./sea.ts";
import { storm } from "./storm.ts";
import { village } from "./village.ts";

const painters = { village, sea, storm, lighthouse, mountains, forest } satisfies Record<
  string,
  (dice: Dice) => { defs: string; layers: string }
>;

/** A landscape that stands in for a picture the scene does not have. */
export type Backdrop = keyof typeof painters;

/** All backdrops, in the order in which scenes that name none receive them. */
export const backdrops = Object.keys(painters) as readonly Backdrop[];

/** Draws a backdrop as an SVG document that fills `width` x `height` pixels. The same seed draws the same picture. */
export function paintBackdrop(backdrop: Backdrop, seed: number, width: number, height: number): string {
  const { defs, layers } = painters[backdrop](createDice(seed));
  const corners = vignette();
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${canvas.width} ${canvas.height}" preserveAspectRatio="xMidYMid slice"><defs>${defs}${corners.defs}</defs>${layers}${corners.layer}</svg>`;
}
