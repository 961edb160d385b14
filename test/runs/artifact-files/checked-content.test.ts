import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import { describe, expect, it, onTestFinished } from "vitest";
import { openFileArtifacts } from "../../../src/runs/artifact-files/index.ts";
import type { Artifacts } from "../../../src/runs/ports/artifacts.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { ada, breakOff, image, inPieces, maxBytes, pattern, problemOf } from "../ports/artifacts-contract.ts";

const onePixel = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
const upload = { ...image, uploadId: "one" };

function open(): Artifacts {
  const directory = mkdtempSync(join(tmpdir(), "retake-test-"));
  const content = { maxImagePixels: 1_000_000, uncheckedMediaTypes: [] };
  const store = openFileArtifacts({ directory, clock: createVirtualClock(), maxBytes, content });
  onTestFinished(async () => {
    await store.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return store;
}

describe("artifacts whose bytes are looked at", () => {
  it("are stored when they are what they say, however small the pieces", async () => {
    const store = open();
    expect((await store.write(inPieces(onePixel, 3), image)).size).toBe(onePixel.length);
    const large = Buffer.concat([onePixel, pattern(500_000)]);
    expect((await store.write(inPieces(large), image)).size).toBe(large.length);
  });

  it("are refused after their first bytes, and nothing stays of them", async () => {
    const store = open();
    let pieces = 0;
    async function* counted(): AsyncGenerator<Uint8Array> {
      for await (const piece of inPieces(pattern(1_500_000))) {
        pieces += 1;
        yield piece;
      }
    }
    expect((await problemOf(store.write(counted(), upload))).problem).toBe("content");
    expect(pieces).toBe(4);
    expect(await store.findUpload(ada, "one")).toBeUndefined();
    expect((await problemOf(store.write(inPieces(pattern(100)), image))).problem).toBe("content");
    expect(await store.list({}, { limit: 10 })).toEqual([]);
  });

  it("are refused when they unpack to more than they say, also where an upload that broke off goes on", async () => {
    const store = open();
    // Behind the first bytes, which say nothing wrong.
    const text = Buffer.alloc(400_008);
    text.writeUInt32BE(400_000 - 4);
    text.write("teXt", 4);
    const data = deflateSync(Buffer.alloc(10_000_000));
    const head = Buffer.alloc(8);
    head.writeUInt32BE(data.length);
    head.write("IDAT", 4);
    const bomb = Buffer.concat([onePixel.subarray(0, 33), text, head, data]);
    expect((await problemOf(store.write(inPieces(bomb), image))).message).toContain("unpacks to more than the 1 x 1");
    await store.write(inPieces(bomb.subarray(0, 400_100), 50_000, breakOff), upload).catch(() => undefined);
    const { offset = 0 } = (await store.findUpload(ada, "one")) ?? {};
    expect(offset).toBeGreaterThan(0);
    const rest = store.write(inPieces(bomb.subarray(offset)), { ...upload, offset });
    expect((await problemOf(rest)).message).toContain("unpacks to more than the 1 x 1");
    expect(await store.findUpload(ada, "one")).toBeUndefined();
    expect(await store.list({}, { limit: 10 })).toEqual([]);
  });

  it("are looked at as a whole when they come in several calls", async () => {
    const store = open();
    await store.write(inPieces(pattern(100), 100, breakOff), upload).catch(() => undefined);
    expect((await store.findUpload(ada, "one"))?.offset).toBe(100);
    const rest = store.write(inPieces(onePixel), { ...upload, offset: 100 });
    expect((await problemOf(rest)).problem).toBe("content");
    await store.write(inPieces(onePixel.subarray(0, 9), 9, breakOff), upload).catch(() => undefined);
    const whole = await store.write(inPieces(onePixel.subarray(9)), { ...upload, offset: 9 });
    expect(whole.size).toBe(onePixel.length);
  });
});
