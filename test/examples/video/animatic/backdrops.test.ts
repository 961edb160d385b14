import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { backdrops, paintBackdrop } from "../../../../examples/video/animatic/backdrops/index.ts";

describe("paintBackdrop", () => {
  it.each(backdrops)("paints %s to every edge, at any shape", async (backdrop) => {
    for (const [width, height] of [
      [160, 90],
      [90, 160],
      [128, 128],
    ] as const) {
      const svg = Buffer.from(paintBackdrop(backdrop, 5, width, height));
      const { info, data } = await sharp(svg).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
      expect([info.width, info.height]).toEqual([width, height]);
      expect(data.filter((_, index) => index % 4 === 3).every((alpha) => alpha === 255)).toBe(true);
    }
  });

  it.each(backdrops)("paints %s the same for the same seed, and otherwise for another", (backdrop) => {
    expect(paintBackdrop(backdrop, 5, 160, 90)).toBe(paintBackdrop(backdrop, 5, 160, 90));
    expect(paintBackdrop(backdrop, 5, 160, 90)).not.toBe(paintBackdrop(backdrop, 6, 160, 90));
  });
});
