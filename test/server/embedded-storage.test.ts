import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { startEmbeddedStorage } from "../../src/server/embedded-storage.ts";
import { temporaryDirectory } from "../runs/sqlite/temporary-directory.ts";

const config = (dataDirectory: string) => ({
  dataDirectory,
  artifacts: {
    maxBytes: 1024,
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

  it("ends without having touched anything", async () => {
    const directory = join(temporaryDirectory(), "data");
    const opener = startEmbeddedStorage();
    await opener.end();
    await expect(opener.open(config(directory), systemClock)).rejects.toThrow("has ended");
    expect(existsSync(directory)).toBe(false);
  });
});
