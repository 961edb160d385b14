import { describe, expect, it } from "vitest";
import { backdrops } from "../../../../examples/video/animatic/backdrops/index.ts";
import { StoryboardError } from "../../../../examples/video/animatic/errors.ts";
import { maxFrames } from "../../../../examples/video/animatic/storyboard.ts";
import { planOf } from "./support.ts";

describe("planShots", () => {
  it("cuts the time into frames without letting the rounding add up", () => {
    const plan = planOf(
      Array.from({ length: 7 }, () => ({ durationMs: 450 })),
      { fps: 12 },
    );
    expect(plan.shots.map(({ frames }) => frames)).toEqual([5, 6, 5, 6, 5, 5, 6]);
    expect(plan.frames).toBe(Math.round(7 * 0.45 * 12));
  });

  it("gives each scene a frame at least", () => {
    expect(planOf([{ durationMs: 1 }, { durationMs: 1 }], { fps: 1 }).shots.map(({ frames }) => frames)).toEqual([
      1, 1,
    ]);
  });

  it("lets each scene but the last go on under the next for the cross-fade, as far as both last", () => {
    const plan = planOf([{ durationMs: 1000 }, { durationMs: 200 }, { durationMs: 2000 }], { crossFadeMs: 500 });
    expect(plan.shots.map(({ tailFrames }) => tailFrames)).toEqual([2, 2, 0]);
  });

  it("gives scenes that name none each another backdrop and another camera", () => {
    const { shots } = planOf([{}, {}, {}, {}, {}, {}, {}]);
    expect(new Set(shots.slice(0, 6).map(({ backdrop }) => backdrop)).size).toBe(6);
    expect(new Set(shots.slice(0, 6).map(({ camera }) => camera)).size).toBe(6);
    expect(shots[6]?.backdrop).toBe(backdrops[0]);
    expect(planOf([{ backdrop: "storm", camera: "tilt-up" }]).shots[0]).toMatchObject({
      backdrop: "storm",
      camera: "tilt-up",
    });
  });

  it("derives the seed from the words unless one is given", () => {
    expect(planOf([{ title: "a" }]).seed).toBe(planOf([{ title: "a", durationMs: 900 }]).seed);
    expect(planOf([{ title: "a" }]).seed).not.toBe(planOf([{ title: "b" }]).seed);
    expect(planOf([{ title: "a" }], { seed: 7 }).seed).toBe(7);
    expect(planOf([{}], { seed: Number.MAX_SAFE_INTEGER }).shots[0]?.seed).toBeLessThan(2 ** 32);
  });

  it("refuses an empty storyboard, an odd size and a film of hours", () => {
    expect(() => planOf([])).toThrow(new StoryboardError("The storyboard has no scenes: give one at least."));
    expect(() => planOf([{}], { width: 161 })).toThrow(/161 x 90 pixels cannot be encoded: both must be even/);
    expect(() => planOf([{ durationMs: 3_600_000 }])).toThrow(
      `The storyboard asks for 36000 frames, and ${maxFrames} are the limit`,
    );
  });

  it.each([
    ["text", Buffer.from("not an image at all")],
    ["SVG", Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')],
    ["GIF", Buffer.from("GIF89a\x01\x00\x01\x00\x00\x00\x00")],
    ["nothing", Buffer.alloc(0)],
  ])("refuses an image that is %s, naming the scene", (_, image) => {
    expect(() => planOf([{}, { title: "The storm", image }])).toThrow(
      /^The image of scene 2 \("The storm"\) is not a PNG, JPEG or WebP/,
    );
  });
});
