import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { Intake } from "../../../src/runs/artifacts/intake.ts";
import { TiffSize } from "../../../src/runs/artifacts/tiff-size.ts";

const noise = sharp(Buffer.from(Array.from({ length: 300 * 400 * 3 }, (_, at) => (at * at) % 251)), {
  raw: { width: 300, height: 400, channels: 3 },
});
/** Larger than what is looked at first, with its directory at its end. */
const written = await noise.tiff({ compression: "none" }).toBuffer();

type Entry = readonly [tag: number, type: number, value: number, values?: number];

/** A TIFF of so many entries, with `before` bytes before its directory. */
function tiff(entries: readonly Entry[], { before = 0, order = "II", count = entries.length } = {}): Buffer {
  const bytes = Buffer.alloc(8 + before + 2 + entries.length * 12 + 4);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const little = order === "II";
  bytes.write(order, "latin1");
  view.setUint16(2, 42, little);
  view.setUint32(4, 8 + before, little);
  view.setUint16(8 + before, count, little);
  for (const [index, [tag, type, value, values = 1]] of entries.entries()) {
    const at = 10 + before + index * 12;
    view.setUint16(at, tag, little);
    view.setUint16(at + 2, type, little);
    view.setUint32(at + 4, values, little);
    if (type === 3) view.setUint16(at + 8, value, little);
    else view.setUint32(at + 8, value, little);
  }
  return bytes;
}

function sizeOf(bytes: Buffer, step = bytes.length) {
  const size = new TiffSize();
  for (let at = 0; at < bytes.length; at += step) size.add(bytes.subarray(at, at + step));
  return size.dimensions;
}

describe("the size of a TIFF", () => {
  it("is read wherever its directory is, in pieces of any size", () => {
    expect(written.readUInt32LE(4)).toBeGreaterThan(256 * 1024);
    for (const step of [1, 7, 64 * 1024, written.length]) {
      expect(sizeOf(written, step), String(step)).toEqual({ width: 300, height: 400 });
    }
    for (const order of ["II", "MM"]) {
      const bytes = tiff(
        [
          [256, 3, 20],
          [257, 4, 10],
        ],
        { order, before: 100 },
      );
      for (const step of [1, bytes.length]) expect(sizeOf(bytes, step), order).toEqual({ width: 20, height: 10 });
    }
  });

  it("is read of a BigTIFF too", () => {
    const bytes = Buffer.alloc(16 + 8 + 40);
    bytes.write("II+\0\x08\0\0\0", "latin1");
    bytes.writeBigUInt64LE(16n, 8);
    bytes.writeBigUInt64LE(2n, 16);
    const entries = [
      { tag: 256, type: 16, value: 60_000n },
      { tag: 257, type: 4, value: 70_000n },
    ];
    for (const [index, { tag, type, value }] of entries.entries()) {
      bytes.writeUInt16LE(tag, 24 + index * 20);
      bytes.writeUInt16LE(type, 26 + index * 20);
      bytes.writeBigUInt64LE(1n, 28 + index * 20);
      bytes.writeBigUInt64LE(value, 36 + index * 20);
    }
    for (const step of [1, bytes.length]) expect(sizeOf(bytes, step)).toEqual({ width: 60_000, height: 70_000 });
  });

  it("is the largest that it names, in the entries that it says to have", () => {
    const twice: readonly Entry[] = [
      [256, 4, 60_000],
      [257, 4, 60_000],
      [256, 4, 1],
      [257, 4, 1],
    ];
    expect(sizeOf(tiff(twice))).toEqual({ width: 60_000, height: 60_000 });
    expect(sizeOf(tiff(twice, { count: 2 }))).toEqual({ width: 60_000, height: 60_000 });
  });

  it("is unknown where it is told in another way, or not at all", () => {
    expect(sizeOf(tiff([[256, 4, 20]]))).toEqual({ width: 20, height: 0 });
    expect(
      sizeOf(
        tiff([
          [256, 5, 20],
          [257, 4, 10],
        ]),
      ),
    ).toBeUndefined();
    expect(
      sizeOf(
        tiff([
          [256, 4, 20, 2],
          [257, 4, 10],
        ]),
      ),
    ).toBeUndefined();
    expect(
      sizeOf(
        tiff(
          [
            [256, 4, 20],
            [257, 4, 10],
          ],
          { count: 60_000 },
        ),
      ),
    ).toBeUndefined();
    expect(sizeOf(written.subarray(0, 300_000))).toBeUndefined();
    for (const bytes of [Buffer.alloc(0), Buffer.from("II*\0"), Buffer.alloc(100)])
      expect(sizeOf(bytes)).toBeUndefined();
  });

  it.each(["", "image/tiff"])("is looked at when all of it has come, declared as %j", async (mediaType) => {
    const take = async (bytes: Buffer, maxImagePixels: number) => {
      const content = { maxImagePixels, uncheckedMediaTypes: [] };
      const intake = new Intake({ mediaType }, { maxBytes: 1e9, content });
      intake.add(bytes);
      return intake.finish();
    };
    expect((await take(written, 120_000)).size).toBe(written.length);
    await expect(take(written, 119_999)).rejects.toThrow("300 x 400 pixels");
    await expect(take(written.subarray(0, 300_000), 1e9)).rejects.toThrow(
      "this image/tiff does not say its size: it is",
    );
  });
});
