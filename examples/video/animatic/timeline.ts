import type { ShootingPlan } from "./storyboard.ts";

/** One frame of a film: a frame of one clip, or a mixture of the last frames of one clip and the first of the next. */
export interface FilmFrame {
  readonly clip: number;
  readonly frame: number;
  /** What fades in over it. */
  readonly next?: { readonly clip: number; readonly frame: number; readonly share: number };
}

/** The frames of a film in order. Clips count from 0; each shot's tail is seen under the beginning of the next shot. */
export function timelineOf({ shots }: ShootingPlan): FilmFrame[] {
  return shots.flatMap((shot, clip) => {
    const before = shots[clip - 1];
    return Array.from({ length: shot.frames }, (_, frame): FilmFrame => {
      if (before === undefined || frame >= before.tailFrames) return { clip, frame };
      const share = (frame + 1) / (before.tailFrames + 1);
      return { clip: clip - 1, frame: before.frames + frame, next: { clip, frame, share } };
    });
  });
}
