import { deflateSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { checkContent } from "../../../src/runs/artifacts/content-check.ts";
import { ArtifactError } from "../../../src/runs/index.ts";

const rules = { maxImagePixels: 1_000_000, uncheckedMediaTypes: [] as string[] };
const small = sharp({ create: { width: 20, height: 10, channels: 3, background: "navy" } });
const png = await small.clone().png().toBuffer();
const jpeg = await small.clone().jpeg().toBuffer();
const webp = await small.clone().webp().toBuffer();
const gif = await small.clone().gif().toBuffer();
const avif = await small.clone().avif().toBuffer();
const tiff = await small.clone().tiff().toBuffer();
const bmp = bitmap(20, 10);
const psd = Buffer.concat([
  Buffer.from("8BPS\0\x01\0\0\0\0\0\0\0\x03"),
  Buffer.from("0000000a0000001400080003", "hex"),
]);
const ico = Buffer.from("0000010001001010000001002000680400001600000000000000", "hex");
const pdf = Buffer.from("%PDF-1.7\n1 0 obj\n");
const zip = Buffer.from("504b0304140000000000", "hex");
const exe = Buffer.concat([Buffer.from("MZ"), Buffer.alloc(100)]);
const elf = Buffer.concat([Buffer.from("\x7fELF\x02\x01\x01", "latin1"), Buffer.alloc(100)]);
const html = Buffer.from("<html><script>alert(1)</script></html>");
const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"></svg>');
const xmlSvg = Buffer.from('<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"></svg>');
const wav = Buffer.concat([Buffer.from("RIFF\0\0\0\0WAVEfmt "), Buffer.alloc(40)]);
const mp4 = Buffer.from("0000001c667479706d70343200000001697336346d70343169736f6d", "hex");
const webm = Buffer.from("1a45dfa39f4286810142f7810142f2810442f381084282847765626d", "hex");
const text = Buffer.from("a harbour at dusk, 港\n");

async function problemOf(bytes: Uint8Array, mediaType: string, own: Partial<typeof rules> = {}): Promise<string> {
  try {
    await checkContent(bytes, mediaType, { ...rules, ...own });
    return "";
  } catch (error) {
    expect(error).toBeInstanceOf(ArtifactError);
    expect((error as ArtifactError).problem).toBe("content");
    return (error as ArtifactError).message;
  }
}

describe("bytes that are what they are said to be", () => {
  test.each([
    ["image/png", png],
    ["IMAGE/PNG", png],
    ["image/jpeg", jpeg],
    ["image/jpg", jpeg],
    ["image/webp", webp],
    ["image/gif", gif],
    ["image/avif", avif],
    ["image/tiff", tiff],
    ["image/bmp", bmp],
    ["image/vnd.adobe.photoshop", psd],
    ["image/svg+xml", svg],
    ["image/svg+xml", xmlSvg],
    ["application/pdf", pdf],
    ["application/zip", zip],
    ["application/vnd.openxmlformats-officedocument.wordprocessingml.document", zip],
    ["application/vnd.studio.project", zip],
    ["application/vnd.studio.project", png],
    ["audio/wav", wav],
    ["audio/x-wav", wav],
    ["video/mp4", mp4],
    ["video/quicktime", mp4],
    ["audio/mp4", mp4],
    ["video/webm", webm],
    ["video/x-matroska", webm],
    ["text/plain", text],
    ["text/plain; charset=utf-8", text],
    ["text/html", html],
    ["text/csv", text],
    ["application/json", Buffer.from("{}")],
    ["model/gltf+json", Buffer.from("{}")],
    ["application/octet-stream", exe],
    ["application/octet-stream", png],
    ["", html],
    ["image/png", Buffer.alloc(0)],
  ])("are taken: %s", async (mediaType, bytes) => {
    expect(await problemOf(bytes, mediaType)).toBe("");
  });
});

describe("bytes that are something else", () => {
  test.each([
    ["image/png", jpeg],
    ["image/png", html],
    ["image/png", svg],
    ["image/png", text],
    ["image/png", exe],
    ["image/png", elf],
    ["image/png", zip],
    ["image/png", Buffer.concat([Buffer.from("\n"), png])],
    ["image/jpeg", png],
    ["image/gif", webp],
    ["image/webp", wav],
    ["image/avif", jpeg],
    ["image/svg+xml", png],
    ["image/x-unheard-of", exe],
    ["video/mp4", webm],
    ["video/mp4", html],
    ["video/webm", mp4],
    ["video/webm", pdf],
    ["audio/wav", text],
    ["audio/mpeg", exe],
    ["application/pdf", html],
    ["application/pdf", exe],
    ["application/zip", png],
    ["text/plain", exe],
    ["text/plain", png],
    ["text/html", pdf],
    ["application/json", zip],
  ])("are refused: %s", async (mediaType, bytes) => {
    expect(await problemOf(bytes, mediaType)).toContain(`declared as ${mediaType}`);
  });

  test("are told as what they are", async () => {
    expect(await problemOf(jpeg, "image/png")).toBe(
      "this is declared as image/png, and its bytes are those of image/jpeg: say what it is, or leave the media type out",
    );
  });

  test("are taken where the configuration does not ask", async () => {
    expect(await problemOf(html, "image/png", { uncheckedMediaTypes: ["image/png"] })).toBe("");
    expect(await problemOf(html, "image/png", { uncheckedMediaTypes: ["IMAGE/*"] })).toBe("");
    expect(await problemOf(html, "image/png", { uncheckedMediaTypes: ["video/*", "image/jpeg"] })).not.toBe("");
  });
});

/** A PNG of this size whose pixels are all alike: a few KB for each hundred million of them. */
function bomb(width: number, height: number): Buffer {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.writeUInt8(1, 8);
  const chunk = (type: string, data: Buffer): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    return Buffer.concat([length, Buffer.from(type), data, Buffer.alloc(4)]);
  };
  const signature = Buffer.from("89504e470d0a1a0a", "hex");
  return Buffer.concat([signature, chunk("IHDR", head), chunk("IDAT", deflateSync(Buffer.alloc(1_000_000)))]);
}

function box(type: string, ...numbers: readonly number[]): Buffer {
  const bytes = Buffer.alloc(8 + numbers.length * 4);
  bytes.writeUInt32BE(bytes.length);
  bytes.write(type, 4);
  for (const [index, number] of numbers.entries()) bytes.writeUInt32BE(number, 8 + index * 4);
  return bytes;
}

/** The head of a BMP. */
function bitmap(width: number, height: number): Buffer {
  const head = Buffer.alloc(54);
  head.write("BM");
  head.writeUInt32LE(54, 10);
  head.writeUInt32LE(40, 14);
  head.writeInt32LE(width, 18);
  head.writeInt32LE(height, 22);
  return head;
}

/** The same image with another size in its head. */
function resized(image: Buffer, at: number, write: (bytes: Buffer, offset: number) => void): Buffer {
  const copy = Buffer.from(image);
  write(copy, at);
  return copy;
}

describe("images of too many pixels", () => {
  const jpegSize = jpeg.indexOf(Buffer.from([0xff, 0xc0])) + 5;
  const huge: readonly (readonly [string, Buffer])[] = [
    ["image/png", bomb(100_000, 100_000)],
    ["image/png", bomb(1, 2 ** 31 - 1)],
    ["image/jpeg", resized(jpeg, jpegSize, (bytes, at) => bytes.writeUInt32BE(0xffffffff, at))],
    ["image/gif", resized(gif, 6, (bytes, at) => bytes.writeUInt32LE(0xffffffff, at))],
    [
      "image/webp",
      Buffer.concat([
        Buffer.from("RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0", "latin1"),
        Buffer.from([0xff, 0xff, 0x3f, 0xff, 0xff, 0x3f]),
      ]),
    ],
    ["image/bmp", bitmap(60_000, 60_000)],
    ["image/bmp", bitmap(60_000, -60_000)],
    ["image/vnd.adobe.photoshop", resized(psd, 14, (bytes, at) => bytes.fill(0x7f, at, at + 8))],
    ["image/avif", resized(avif, avif.indexOf("ispe") + 8, (bytes, at) => bytes.fill(0x7f, at, at + 8))],
    ["image/avif", Buffer.concat([avif, box("ispe", 0, 60_000, 60_000), box("clap", 1, 1, 59_999, 1)])],
  ];
  test.each(huge)("are refused: %s", async (mediaType, bytes) => {
    expect(await problemOf(bytes, mediaType)).toMatch(/^this image has \d+ x \d+ pixels, more than the 1000000 /);
    expect(await problemOf(bytes, "application/octet-stream")).toContain("pixels");
  });

  test("are those above the limit", async () => {
    expect(await problemOf(png, "image/png", { maxImagePixels: 200 })).toBe("");
    expect(await problemOf(png, "image/png", { maxImagePixels: 199 })).toContain("20 x 10 pixels");
  });

  test("are not let in by being of a kind whose size is not known, unless such files are trusted", async () => {
    expect(await problemOf(ico, "application/octet-stream")).toContain(
      "how many pixels this image/x-icon has cannot be",
    );
    expect(await problemOf(ico, "image/x-icon", { uncheckedMediaTypes: ["image/x-icon"] })).toBe("");
    expect(await problemOf(avif.subarray(0, avif.indexOf("ispe")), "image/avif")).toContain("does not say its size");
  });

  test("are not let in by hiding their size", async () => {
    const hidden = Buffer.concat([
      jpeg.subarray(0, 2),
      ...Array.from({ length: 5 }, () => Buffer.concat([Buffer.from([0xff, 0xe1, 0xff, 0xff]), Buffer.alloc(65_533)])),
      jpeg.subarray(2),
    ]).subarray(0, 256 * 1024);
    expect(await problemOf(hidden, "image/jpeg")).toContain("does not say its size");
    expect(await problemOf(png.subarray(0, 20), "image/png")).toContain("does not say its size");
  });
});
