import { readdir, readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";

const folder = new URL("../../../../examples/video/animatic/", import.meta.url);

describe("fonts.conf", () => {
  it("finds a font in each of the packages that it brings along", async () => {
    const config = await readFile(new URL("fonts.conf", folder), "utf8");
    const bundled = [...config.matchAll(/<dir prefix="relative">([^<]+)<\/dir>/g)].map(([, path]) => path ?? "");
    expect(bundled).toHaveLength(2);
    for (const path of bundled) {
      const files = await readdir(new URL(`${path}/`, folder), { recursive: true });
      expect(files.filter((file) => file.endsWith(".ttf")).length, path).toBeGreaterThan(0);
    }
  });
});
