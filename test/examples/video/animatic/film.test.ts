import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { EncoderMissingError, FilmTooLargeError } from "../../../../examples/video/animatic/errors.ts";
import { assembleFilm } from "../../../../examples/video/animatic/film.ts";
import { renderScene } from "../../../../examples/video/animatic/scene.ts";
import { readAnimation } from "../../../../examples/video/animatic/webp-animation.ts";
import { decodeFrames, never, planOf } from "./support.ts";

const plan = planOf([{ backdrop: "storm" }, { backdrop: "sea", title: "Calm" }, { backdrop: "forest" }], {
  crossFadeMs: 200,
});
let clips: Uint8Array[];

beforeAll(async () => {
  clips = await Promise.all(plan.shots.map((shot) => renderScene(shot, plan, { signal: never })));
});

const options = { format: "webp", maxBytes: 1_000_000, ffmpeg: "no-such-ffmpeg", signal: never } as const;

describe("assembleFilm", () => {
  it("joins the clips into a WebP of the film's frames and time", async () => {
    const film = await assembleFilm(plan, clips, options);
    const metadata = await sharp(film.content, { pages: -1 }).metadata();
    expect(film.mediaType).toBe("image/webp");
    expect(metadata).toMatchObject({ format: "webp", pages: 12, width: 160, pageHeight: 90 });
    expect(metadata.delay?.reduce((sum, ms) => sum + ms, 0)).toBe(1200);
  });

  it("takes frames that are seen alone as they are, and mixes those that dissolve", async () => {
    const { frames } = readAnimation((await assembleFilm(plan, clips, options)).content);
    const [first, second] = clips.map((clip) => readAnimation(clip).frames);
    expect(frames.slice(0, 4)).toEqual(first?.slice(0, 4));
    expect(frames.slice(6, 8)).toEqual(second?.slice(2, 4));
    const pixels = async (file: Uint8Array | undefined) =>
      (await decodeFrames(file ?? expect.fail()))[0] ?? expect.fail();
    const [mixed, under, over] = await Promise.all([pixels(frames[4]), pixels(first?.[4]), pixels(second?.[0])]);
    const error = mixed.reduce((sum, value, at) => {
      const expected = ((under[at] ?? 0) * 2 + (over[at] ?? 0)) / 3;
      return sum + Math.abs(value - expected);
    }, 0);
    expect(error / mixed.length).toBeLessThan(6);
  });

  it("gives the same bytes for the same clips", async () => {
    const [first, again] = [await assembleFilm(plan, clips, options), await assembleFilm(plan, clips, options)];
    expect(Buffer.from(first.content).equals(again.content)).toBe(true);
  });

  it("lowers the quality rather than exceed the limit, and says so when even that does not do", async () => {
    const { content } = await assembleFilm(plan, clips, options);
    const maxBytes = Math.floor(content.length * 0.7);
    const smaller = await assembleFilm(plan, clips, { ...options, maxBytes });
    expect(smaller.content.length).toBeLessThanOrEqual(maxBytes);
    expect(readAnimation(smaller.content).frames).toHaveLength(12);
    const tiny = assembleFilm(plan, clips, { ...options, maxBytes: 1000 });
    await expect(tiny).rejects.toThrow(FilmTooLargeError);
    await expect(tiny).rejects.toThrow(
      /^The film, 12 frames of 160 x 90, does not fit into 1000 bytes as WebP: make it/,
    );
  });

  it("makes a WebP where ffmpeg is missing, unless MP4 was asked for", async () => {
    const film = await assembleFilm(plan, clips, { ...options, format: "auto" });
    expect(film.mediaType).toBe("image/webp");
    const mp4 = assembleFilm(plan, clips, { ...options, format: "mp4" });
    await expect(mp4).rejects.toThrow(EncoderMissingError);
    await expect(mp4).rejects.toThrow(/"no-such-ffmpeg" on the server's PATH is not that: install it, or ask for WebP/);
  });

  it("reports its progress up to 1", async () => {
    const seen: number[] = [];
    await assembleFilm(plan, clips, { ...options, onProgress: (fraction) => seen.push(fraction) });
    expect(seen).toHaveLength(12);
    expect(seen.at(-1)).toBe(1);
  });

  it("stops when it is aborted", async () => {
    const controller = new AbortController();
    const work = assembleFilm(plan, clips, {
      ...options,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error("enough")),
    });
    await expect(work).rejects.toThrow("enough");
  });

  it("refuses clips that are damaged or not of this plan", async () => {
    const [first, second] = clips as [Uint8Array, Uint8Array];
    await expect(assembleFilm(plan, [first, second], options)).rejects.toThrow("A clip does not belong to this plan");
    await expect(assembleFilm(plan, [second.subarray(0, 99)], options)).rejects.toThrow("This WebP is cut off");
  });
});
