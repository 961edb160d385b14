import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { FilmTooLargeError, StoryboardError } from "../../../../examples/video/animatic/errors.ts";
import type { Pixels } from "../../../../examples/video/animatic/picture.ts";
import { prepareFrames, renderScene } from "../../../../examples/video/animatic/scene.ts";
import { readAnimation } from "../../../../examples/video/animatic/webp-animation.ts";
import { brightness, never, planOf, shotOf, slope } from "./support.ts";

const format = { width: 160, height: 90, fps: 10 };

describe("renderScene", () => {
  it("gives a clip of the film's size with every frame of the scene, its tail included", async () => {
    const [shot] = planOf([{ title: "Hello", text: "world" }, {}], { crossFadeMs: 200 }).shots;
    const clip = await renderScene(shot ?? expect.fail(), format, { signal: never });
    const metadata = await sharp(clip, { pages: -1 }).metadata();
    expect(metadata).toMatchObject({ format: "webp", pages: 6, width: 160, pageHeight: 90 });
  });

  it("gives the same bytes for the same scene, and others for another seed", async () => {
    const render = (seed: number) =>
      renderScene(shotOf({ title: "Same", text: "same" }, { seed }), format, { signal: never });
    const [first, again, other] = await Promise.all([render(1), render(1), render(2)]);
    expect(Buffer.from(again).equals(first)).toBe(true);
    expect(Buffer.from(other).equals(first)).toBe(false);
  });

  it("reports its progress up to 1, never backwards", async () => {
    const seen: number[] = [];
    await renderScene(shotOf({}), format, { signal: never, onProgress: (fraction) => seen.push(fraction) });
    expect(seen).toEqual([0.25, 0.5, 0.75, 1]);
  });

  it("lowers the quality rather than exceed the size of a step", async () => {
    const noise = await sharp({
      create: {
        width: 640,
        height: 360,
        channels: 3,
        background: "#888",
        noise: { type: "gaussian", mean: 128, sigma: 60 },
      },
    })
      .png()
      .toBuffer();
    const shot = shotOf({ image: noise, durationMs: 1000 });
    const { frames } = readAnimation(await renderScene(shot, format, { signal: never }));
    const limited = await renderScene(shot, format, { signal: never, maxBytes: frames[0] ? frames[0].length * 6 : 0 });
    expect(limited.length).toBeLessThanOrEqual((frames[0]?.length ?? 0) * 6);
    await expect(renderScene(shot, format, { signal: never, maxBytes: 500 })).rejects.toThrow(FilmTooLargeError);
    await expect(renderScene(shot, format, { signal: never, maxBytes: 500 })).rejects.toThrow(
      /^The clip of scene 1, 10 frames of 160 x 90, does not fit/,
    );
  });

  it("stops at the next frame when it is aborted, and does not begin after that", async () => {
    const controller = new AbortController();
    let frames = 0;
    const work = renderScene(shotOf({ durationMs: 5000 }), format, {
      signal: controller.signal,
      onProgress: () => {
        if (++frames === 3) controller.abort(new Error("enough"));
      },
    });
    await expect(work).rejects.toThrow("enough");
    expect(frames).toBeLessThanOrEqual(4);
    await expect(renderScene(shotOf({}), format, { signal: controller.signal })).rejects.toThrow("enough");
  });

  it("names the scene whose image is damaged", async () => {
    const whole = await slope(200, 100);
    const shot = shotOf({ title: "The storm", image: whole.subarray(0, whole.length >> 1) });
    const work = renderScene(shot, format, { signal: never });
    await expect(work).rejects.toThrow(StoryboardError);
    await expect(work).rejects.toThrow(/^The image of scene 1 \("The storm"\) cannot be decoded: /);
  });

  it("refuses an image that claims to be enormous before it is decoded", async () => {
    const image = await slope(200, 100);
    image.writeUInt32BE(60_000, 16);
    image.writeUInt32BE(60_000, 20);
    await expect(renderScene(shotOf({ image }), format, { signal: never })).rejects.toThrow(
      /scene 1 cannot be decoded/,
    );
  });
});

describe("prepareFrames", () => {
  const frameAt = async (scene: Parameters<typeof shotOf>[0], index: number) =>
    (await prepareFrames(shotOf(scene), format))(index);

  it("moves the camera, by less than a pixel a frame where the pan is slow", async () => {
    const image = await slope(1600, 900);
    const draw = await prepareFrames(shotOf({ image, camera: "pan-right", durationMs: 6000 }), format);
    const levels: number[] = [];
    for (let index = 0; index < 60; index += 1) {
      const { data, width } = await draw(index);
      levels.push(
        data.subarray(40 * width * 3, 50 * width * 3).reduce((sum, value) => sum + value, 0) / (10 * width * 3),
      );
    }
    const steps = levels.slice(1).map((level, index) => level - (levels[index] ?? 0));
    expect(Math.min(...steps)).toBeGreaterThanOrEqual(0);
    // 22 pixels in 59 frames, so about one frame in three would move if whole pixels were the unit.
    expect(steps.filter((step) => step > 0.1).length).toBeGreaterThan(50);
    expect((levels.at(-1) ?? 0) - (levels[0] ?? 0)).toBeCloseTo(255 * (1 - 1 / 1.14), 0);
  });

  it("zooms", async () => {
    const image = await slope(1600, 900);
    const edge = async (index: number) => (await frameAt({ image, camera: "zoom-in" }, index)).data[0] ?? 0;
    expect(await edge(3)).toBeGreaterThan((await edge(0)) + 15);
  });

  it("burns the text in at the bottom and the title into the upper half", async () => {
    const image = await slope(1600, 900);
    const large = { width: 320, height: 180, fps: 10 };
    const draw = async (words: { title?: string; text?: string }) =>
      (await prepareFrames(shotOf({ image, ...words }), large))(0);
    const [plain, captioned, titled] = [
      await draw({}),
      await draw({ text: "A caption" }),
      await draw({ title: "A title" }),
    ];
    const rows = (frame: Pixels, from: number, to: number) => Buffer.from(frame.data.subarray(from * 960, to * 960));
    expect(rows(captioned, 0, 90).equals(rows(plain, 0, 90))).toBe(true);
    expect(brightness(captioned, 172, 180)).toBeLessThan(brightness(plain, 172, 180) - 30);
    const white = (frame: Pixels) => rows(frame, 150, 172).filter((value, at) => at % 960 < 600 && value > 180).length;
    expect(white(captioned)).toBeGreaterThan(white(plain) + 100);
    expect(rows(titled, 10, 80).equals(rows(plain, 10, 80))).toBe(false);
    expect(rows(titled, 100, 180).equals(rows(plain, 100, 180))).toBe(true);
  });

  it("draws each backdrop where there is no image", async () => {
    const [sea, storm] = await Promise.all([frameAt({ backdrop: "sea" }, 0), frameAt({ backdrop: "storm" }, 0)]);
    expect(brightness(sea, 0, 90)).toBeGreaterThan(brightness(storm, 0, 90) + 30);
  });

  it("turns an image as its camera was held, and shows transparency as a dark ground", async () => {
    const sideways = await sharp(await slope(180, 320))
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer();
    const { data } = await frameAt({ image: sideways, camera: "zoom-out" }, 3);
    const column = (row: number) => data[(row * 160 + 80) * 3] ?? 0;
    expect(column(80)).toBeGreaterThan(column(10) + 100);
    const clear = await sharp({ create: { width: 32, height: 18, channels: 4, background: "#0000" } })
      .png()
      .toBuffer();
    expect(brightness(await frameAt({ image: clear }, 0), 0, 90)).toBeLessThan(40);
  });

  it.each([
    ["tiny", 64, 64],
    ["upright", 90, 160],
    ["very wide", 640, 64],
  ])("sets text of any length in a %s frame", async (_, width, height) => {
    const shot = shotOf({ title: "A very long title indeed ".repeat(8), text: "and a caption ".repeat(140) });
    const frame = await (await prepareFrames(shot, { width, height, fps: 10 }))(0);
    expect([frame.width, frame.height, frame.data.length]).toEqual([width, height, width * height * 3]);
  });
});
