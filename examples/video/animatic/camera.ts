/** How the camera travels over a picture while its scene lasts. */
export type CameraMove = "zoom-in" | "zoom-out" | "pan-left" | "pan-right" | "tilt-up" | "tilt-down";

/** All moves, in the order in which scenes that name none receive them. */
export const cameraMoves: readonly CameraMove[] = [
  "zoom-in",
  "pan-right",
  "zoom-out",
  "pan-left",
  "tilt-up",
  "tilt-down",
];

/** The part of a picture that a frame shows, in fractions of the picture's width and height. */
export interface View {
  readonly left: number;
  readonly top: number;
  readonly size: number;
}

/** How much larger than the tightest view the whole picture is, along each side. */
export const reach = 1.2;

/** A pan keeps its size, and has the rest of the picture to travel through. */
const panSize = 1 / 1.14;

/**
 * The view at `progress`, from 0 (the scene begins) to 1 (it ends). The speed is constant, so that a cross-fade never
 * shows a camera that starts or stops; for a zoom that means a constant ratio from frame to frame.
 */
export function viewAt(move: CameraMove, progress: number): View {
  switch (move) {
    case "zoom-in":
      return centred(reach ** -progress);
    case "zoom-out":
      return centred(reach ** (progress - 1));
    case "pan-right":
      return { left: (1 - panSize) * progress, top: (1 - panSize) / 2, size: panSize };
    case "pan-left":
      return { left: (1 - panSize) * (1 - progress), top: (1 - panSize) / 2, size: panSize };
    case "tilt-down":
      return { left: (1 - panSize) / 2, top: (1 - panSize) * progress, size: panSize };
    case "tilt-up":
      return { left: (1 - panSize) / 2, top: (1 - panSize) * (1 - progress), size: panSize };
  }
}

function centred(size: number): View {
  return { left: (1 - size) / 2, top: (1 - size) / 2, size };
}
