import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import type { HeapUse } from "../src/heap-use.ts";

const mebibyte = 1024 * 1024;

describe("what is in use of V8's heap", () => {
  it.each([
    [["--max-old-space-size=256"], ""],
    [["--max-old-space-size=256", "--max-semi-space-size=8"], ""],
    [["--max-old-space-size=256"], "--max-semi-space-size=16"],
  ])("is a share of what may stay there, and grows with what stays: %j, NODE_OPTIONS %j", async (flags, options) => {
    const program = `import { heapUse } from ${JSON.stringify(new URL("../src/heap-use.ts", import.meta.url).href)};
      const before = heapUse();
      globalThis.kept = Array.from({ length: 4 }, () => Array.from({ length: ${mebibyte} }, (_, index) => index + 0.5));
      // What is young yet does not count.
      gc();
      gc();
      console.log(JSON.stringify([before, heapUse()]));`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [...flags, "--expose-gc", "--input-type=module", "-e", program],
      { env: { ...process.env, NODE_OPTIONS: options } },
    );
    const [before, after] = JSON.parse(stdout) as [HeapUse, HeapUse];
    expect([before.limitBytes, after.limitBytes]).toEqual([256 * mebibyte, 256 * mebibyte]);
    expect(before.usedBytes).toBeGreaterThan(mebibyte);
    expect(after.usedBytes - before.usedBytes).toBeGreaterThan(24 * mebibyte);
    expect(after.usedBytes).toBeLessThan(96 * mebibyte);
  });
});
