import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { rawInput } from "../../../../examples/video/animatic/picture.ts";
import {
  animationOverhead,
  readAnimation,
  writeAnimation,
} from "../../../../examples/video/animatic/webp-animation.ts";
import { decodeFrames, flat } from "./support.ts";

const size = { width: 30, height: 20 };
const still = (colour: readonly [number, number, number]) => {
  const pixels = flat(size.width, size.height, colour);
  return sharp(pixels.data, rawInput(pixels)).webp().toBuffer();
};
const stills = await Promise.all([still([255, 0, 0]), still([0, 255, 0]), still([0, 0, 255])]);

describe("writeAnimation", () => {
  it("joins stills into an animation that decoders read, frame by frame, for ever", async () => {
    const file = writeAnimation(size, stills, 12);
    const metadata = await sharp(file, { pages: -1 }).metadata();
    expect(metadata).toMatchObject({ format: "webp", pages: 3, width: 30, pageHeight: 20, loop: 0, hasAlpha: false });
    const frames = await decodeFrames(file);
    const alone = await Promise.all(stills.map((file) => sharp(file).removeAlpha().raw().toBuffer()));
    expect(frames).toEqual(alone);
  });

  it("keeps the film's time although it counts in milliseconds", async () => {
    const frames = Array.from({ length: 12 }, (_, index) => stills[index % 3] as Buffer);
    const { delay = [] } = await sharp(writeAnimation(size, frames, 12), { pages: -1 }).metadata();
    expect(delay.reduce((sum, ms) => sum + ms, 0)).toBe(1000);
    expect(new Set(delay)).toEqual(new Set([83, 84]));
  });

  it("adds no more than it says", () => {
    const bytes = stills.reduce((sum, file) => sum + file.length, 0);
    const allowed = animationOverhead.head + stills.length * animationOverhead.frame;
    expect(writeAnimation(size, stills, 12).length).toBeLessThanOrEqual(bytes + allowed);
  });

  it("refuses a frame that is no lossy still", async () => {
    const lossless = await sharp(stills[0]).webp({ lossless: true }).toBuffer();
    expect(() => writeAnimation(size, [lossless], 12)).toThrow("A frame is not a still lossy WebP.");
  });
});

describe("readAnimation", () => {
  it("takes apart what has been joined, without loss", async () => {
    const { width, height, frames } = readAnimation(writeAnimation(size, stills, 12));
    expect([width, height]).toEqual([30, 20]);
    expect(frames.map((frame) => Buffer.from(frame))).toEqual(stills);
  });

  it("refuses what is cut off, a still, and anything else", () => {
    const file = writeAnimation(size, stills, 12);
    expect(() => readAnimation(file.subarray(0, file.length - 10))).toThrow(
      "This WebP is cut off: it ends 10 bytes too early.",
    );
    expect(() => readAnimation(stills[0] as Buffer)).toThrow("These bytes are not an animated WebP.");
    expect(() => readAnimation(Buffer.from("neither fish nor fowl"))).toThrow("These bytes are not a WebP.");
    expect(() => readAnimation(Buffer.alloc(0))).toThrow("These bytes are not a WebP.");
  });
});
