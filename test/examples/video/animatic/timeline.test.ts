import { describe, expect, it } from "vitest";
import { timelineOf } from "../../../../examples/video/animatic/timeline.ts";
import { planOf } from "./support.ts";

describe("timelineOf", () => {
  it("plays one clip after the other where nothing fades", () => {
    const plan = planOf([{ durationMs: 200 }, { durationMs: 300 }]);
    expect(timelineOf(plan)).toEqual([
      { clip: 0, frame: 0 },
      { clip: 0, frame: 1 },
      { clip: 1, frame: 0 },
      { clip: 1, frame: 1 },
      { clip: 1, frame: 2 },
    ]);
  });

  it("fades the next clip in over the tail of the one before, evenly, and keeps the film's length", () => {
    const plan = planOf([{ durationMs: 500 }, { durationMs: 500 }], { crossFadeMs: 300 });
    const timeline = timelineOf(plan);
    expect(timeline).toHaveLength(plan.frames);
    expect(timeline.slice(4, 9)).toEqual([
      { clip: 0, frame: 4 },
      { clip: 0, frame: 5, next: { clip: 1, frame: 0, share: 0.25 } },
      { clip: 0, frame: 6, next: { clip: 1, frame: 1, share: 0.5 } },
      { clip: 0, frame: 7, next: { clip: 1, frame: 2, share: 0.75 } },
      { clip: 1, frame: 3 },
    ]);
  });

  it("uses every frame of every clip", () => {
    const plan = planOf([{ durationMs: 700 }, { durationMs: 300 }, { durationMs: 900 }], { crossFadeMs: 400 });
    const used = new Set(
      timelineOf(plan).flatMap(({ clip, frame, next }) => [
        `${clip}/${frame}`,
        ...(next === undefined ? [] : [`${next.clip}/${next.frame}`]),
      ]),
    );
    expect(used.size).toBe(plan.shots.reduce((sum, { frames, tailFrames }) => sum + frames + tailFrames, 0));
  });
});
