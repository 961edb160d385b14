import { describe, expect, it } from "vitest";
import { encodeToFit, qualities } from "../../../../examples/video/animatic/fit.ts";
import { never } from "./support.ts";

function encoder(bytesOf: (index: number, quality: number) => number) {
  const tries: number[] = [];
  const encode = async (index: number, quality: number) => {
    tries.push(quality);
    return new Uint8Array(bytesOf(index, quality));
  };
  return { tries, encode };
}

const options = { overhead: 10, signal: never, onFrame: () => {} };

describe("encodeToFit", () => {
  it("takes the best quality when it fits, and tries no other", async () => {
    const { tries, encode } = encoder((_, quality) => quality);
    const seen: number[] = [];
    const maxBytes = 10 * (qualities[0] + 10);
    const frames = await encodeToFit(10, encode, { ...options, maxBytes, onFrame: (done) => seen.push(done) });
    expect(frames).toHaveLength(10);
    expect(new Set(tries)).toEqual(new Set([qualities[0]]));
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it("goes down to the best quality that fits, all frames alike", async () => {
    const { encode } = encoder((_, quality) => quality * 100);
    const frames = await encodeToFit(10, encode, { ...options, maxBytes: 10 * (40 * 100) });
    expect(new Set(frames?.map((frame) => frame.length))).toEqual(new Set([3500]));
  });

  it("gives a quality up after the first frame when that is far too large", async () => {
    const { tries, encode } = encoder((_, quality) => (quality === qualities.at(-1) ? 1 : 100));
    await encodeToFit(500, encode, { ...options, maxBytes: 10_000 });
    expect(tries.filter((quality) => quality === qualities[0]).length).toBeLessThanOrEqual(2);
  });

  it("notices late that a quality is too good", async () => {
    const { encode } = encoder((index, quality) => (quality > 50 && index === 9 ? 5000 : 10));
    const frames = await encodeToFit(10, encode, { ...options, maxBytes: 1000 });
    expect(frames?.reduce((sum, frame) => sum + frame.length + 10, 0)).toBe(200);
  });

  it("says so when nothing fits", async () => {
    const { encode } = encoder(() => 1000);
    expect(await encodeToFit(10, encode, { ...options, maxBytes: 5000 })).toBeUndefined();
  });
});
