import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { startEmbeddedStorage } from "../../src/server/embedded-storage.ts";
import { temporaryDirectory } from "../runs/sqlite/temporary-directory.ts";

const config = (dataDirectory: string) => ({
  dataDirectory,
  artifacts: {
    maxBytes: 100_000,
    gracePeriodMs: 0,
    content: { maxImagePixels: 1_000_000, uncheckedMediaTypes: [] },
    uploadTimeoutMs: 0,
  },
});

describe("startEmbeddedStorage", () => {
  it("opens the data directory only when it is told to", async () => {
    const directory = join(temporaryDirectory(), "data");
    const opener = startEmbeddedStorage();
    expect(existsSync(directory)).toBe(false);
    const storage = await opener.open(config(directory), systemClock);
    expect(existsSync(join(directory, "retake.db"))).toBe(true);
    await storage.close();
  });

  it("bounds artifacts as the configuration says", async () => {
    const given = config(join(temporaryDirectory(), "data"));
    const storage = await startEmbeddedStorage().open(
      { ...given, artifacts: { ...given.artifacts, maxTotalBytes: 100_000, maxBytesPerOwner: 40_000 } },
      systemClock,
    );
    const write = async (subject: string, length: number): Promise<string> => {
      const what = { owner: { tenant: "default", subject }, name: "a", mediaType: "application/octet-stream" };
      async function* bytes(): AsyncGenerator<Uint8Array> {
        yield Buffer.from(subject.repeat(length));
      }
      const written = storage.artifacts.write(bytes(), what);
      return await written.then(
        () => "stored",
        (error: Error) => /max_\w+/.exec(error.message)?.[0] ?? String(error),
      );
    };
    expect(await write("a", 40_001)).toBe("max_bytes_per_owner");
    for (const subject of ["a", "b"]) expect(await write(subject, 40_000)).toBe("stored");
    expect(await write("c", 20_001)).toBe("max_total_bytes");
    await storage.close();
  });

  it("ends without having touched anything", async () => {
    const directory = join(temporaryDirectory(), "data");
    const opener = startEmbeddedStorage();
    await opener.end();
    await expect(opener.open(config(directory), systemClock)).rejects.toThrow("has ended");
    expect(existsSync(directory)).toBe(false);
  });
});
