import { deflateSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { PngInspection } from "../../../src/runs/artifacts/png-inspection.ts";
import { ArtifactError } from "../../../src/runs/index.ts";

const signature = Buffer.from("89504e470d0a1a0a", "hex");

function chunk(type: string, data: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  return Buffer.concat([length, Buffer.from(type), data, Buffer.alloc(4)]);
}

function header(width: number, height: number, { depth = 8, colour = 2, interlaced = false } = {}): Buffer {
  const data = Buffer.alloc(13);
  data.writeUInt32BE(width, 0);
  data.writeUInt32BE(height, 4);
  data.writeUInt8(depth, 8);
  data.writeUInt8(colour, 9);
  data.writeUInt8(interlaced ? 1 : 0, 12);
  return chunk("IHDR", data);
}

const frame = (width: number, height: number): Buffer => {
  const data = Buffer.alloc(26);
  data.writeUInt32BE(width, 4);
  data.writeUInt32BE(height, 8);
  return chunk("fcTL", data);
};
const sequenced = (data: Buffer): Buffer => chunk("fdAT", Buffer.concat([Buffer.alloc(4), data]));
const zeros = (bytes: number): Buffer => deflateSync(Buffer.alloc(bytes));
const png = (...chunks: readonly Buffer[]): Buffer =>
  Buffer.concat([signature, ...chunks, chunk("IEND", Buffer.alloc(0))]);

const end = chunk("IDAT", zeros(10 * (1 + 3 * 20)));
const huge = 50_000_000;

/** What is said against a file, however it comes. */
async function problemOf(file: Buffer, maxImagePixels = 1_000_000): Promise<string> {
  const problems = new Set<string>();
  for (const size of [file.length, 4096, 7]) {
    const inspection = new PngInspection(maxImagePixels);
    try {
      for (let at = 0; at < file.length; at += size) await inspection.add(file.subarray(at, at + size));
      problems.add("");
    } catch (error) {
      expect(error).toBeInstanceOf(ArtifactError);
      problems.add((error as ArtifactError).message);
    } finally {
      inspection.close();
    }
  }
  expect([...problems]).toHaveLength(1);
  return [...problems][0] ?? "";
}

describe("images that are what their header says", () => {
  const noise = sharp(Buffer.from(Array.from({ length: 61 * 37 * 3 }, (_, at) => (at * 7919) % 251)), {
    raw: { width: 61, height: 37, channels: 3 },
  });
  it.each([
    ["plain", noise.clone().png()],
    ["interlaced", noise.clone().png({ progressive: true })],
    ["with a palette", noise.clone().png({ palette: true })],
    ["of 16 bits", noise.clone().toColourspace("rgb16").png()],
    ["grey, with transparency", noise.clone().greyscale().ensureAlpha(0.5).png()],
    ["with a profile", noise.clone().withIccProfile("p3").png()],
  ])("are taken: %s", async (_, image) => {
    expect(await problemOf(await image.toBuffer())).toBe("");
  });

  it.each([1, 2, 3, 5, 8, 9])("are taken at every size, interlaced too: %s", async (size) => {
    for (const interlaced of [false, true]) {
      for (const [depth, colour] of [
        [1, 0],
        [2, 3],
        [16, 6],
      ] as const) {
        const image = sharp({ create: { width: size, height: 10 - size, channels: 3, background: "navy" } });
        expect(await problemOf(await image.png({ progressive: interlaced }).toBuffer())).toBe("");
        expect(await problemOf(png(header(size, size, { depth, colour, interlaced }), end))).toBe("");
      }
    }
  });

  it("are taken with texts, and as animations", async () => {
    const text = Buffer.concat([Buffer.from("Comment\0\0"), deflateSync(Buffer.from("a harbour at dusk"))]);
    const wide = Buffer.concat([Buffer.from("Comment\0\x01\0en\0Comment\0"), deflateSync(Buffer.from("港"))]);
    const plain = Buffer.from("Comment\0\0\0en\0Comment\0as it is");
    const texts = [chunk("zTXt", text), chunk("iTXt", wide), chunk("iTXt", plain), chunk("tEXt", text)];
    const frames = Array.from({ length: 5 }, () => [frame(20, 10), sequenced(zeros(610))]).flat();
    expect(await problemOf(png(header(20, 10), ...texts, frame(20, 10), end, ...frames))).toBe("");
  });
});

describe("images that unpack to more than their header says", () => {
  it.each([
    ["their pixels", png(header(20, 10), chunk("IDAT", zeros(huge)))],
    [
      "their pixels, over several chunks",
      png(header(20, 10), ...halves(zeros(huge)).map((half) => chunk("IDAT", half))),
    ],
    ["their interlaced pixels", png(header(20, 10, { interlaced: true }), chunk("IDAT", zeros(huge)))],
    [
      "a frame of theirs",
      png(header(20, 10), end, frame(20, 10), sequenced(zeros(610)), frame(9, 9), sequenced(zeros(huge))),
    ],
  ])("are refused for %s", async (_, file) => {
    expect(await problemOf(file)).toBe(
      "this image unpacks to more than the 20 x 10 pixels that its header says: whoever decoded it would run out of memory",
    );
  });

  it("are refused for a frame that is larger than an image may be", async () => {
    expect(await problemOf(png(header(20, 10), end, frame(10_000, 10_000)))).toContain("10000 x 10000 pixels");
  });

  it.each([
    ["zTXt", [chunk("zTXt", Buffer.concat([Buffer.from("Comment\0\0"), zeros(huge)]))]],
    ["iCCP", [chunk("iCCP", Buffer.concat([Buffer.from("profile\0\0"), zeros(huge)]))]],
    ["iTXt", [chunk("iTXt", Buffer.concat([Buffer.from("Comment\0\x01\0\0\0"), zeros(huge)]))]],
    ["zTXt", Array.from({ length: 9 }, () => chunk("zTXt", Buffer.concat([Buffer.from("C\0\0"), zeros(2_000_000)])))],
  ])("are refused for what is beside their pixels: %s", async (type, chunks) => {
    expect(await problemOf(png(header(20, 10), ...chunks, end))).toContain(`its ${type} unpacks to too many bytes`);
  });

  it("are refused for a text that is large as it is, before it has come", async () => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(2 ** 31 - 1);
    expect(await problemOf(Buffer.concat([signature, header(20, 10), length, Buffer.from("zTXt")]))).toContain(
      "its zTXt is 2147483647 bytes",
    );
  });

  it("cost no more than the bytes up to there", async () => {
    const inspection = new PngInspection(1_000_000);
    const bomb = png(header(20, 10), chunk("IDAT", zeros(huge)));
    const before = process.memoryUsage().rss;
    await expect(inspection.add(bomb)).rejects.toThrow("unpacks to more");
    expect(process.memoryUsage().rss - before).toBeLessThan(huge / 2);
  });
});

describe("what is no matter of this inspection", () => {
  it.each([
    ["another file", Buffer.from("GIF89a and more")],
    ["nothing", Buffer.alloc(0)],
    ["the beginning of an image", png(header(20, 10), end).subarray(0, 50)],
    ["broken pixels", png(header(20, 10), chunk("IDAT", Buffer.from("no zlib at all")), end)],
    ["broken text", png(header(20, 10), chunk("zTXt", Buffer.from("Comment\0\0no zlib")), end)],
    ["text without a name", png(header(20, 10), chunk("zTXt", Buffer.from("no name")), end)],
    ["pixels without a header", png(end)],
    ["a header that no image has", png(header(20, 10, { colour: 5 }), chunk("IDAT", zeros(huge)))],
    ["what comes behind the end of the pixels", png(header(20, 10), end, chunk("IDAT", zeros(huge)))],
    ["too many pixels, which are refused as such", png(header(10_000, 10_000), chunk("IDAT", zeros(huge)))],
  ])("is let through: %s", async (_, file) => {
    expect(await problemOf(file)).toBe("");
  });
});

function halves(bytes: Buffer): readonly Buffer[] {
  const middle = bytes.length >> 1;
  return [bytes.subarray(0, middle), bytes.subarray(middle)];
}
