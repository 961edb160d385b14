import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, it, onTestFinished } from "vitest";

it("makes the bundled film by npm, five scenes and as many steps", { timeout: 240_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "demo-test-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const child = spawn("npm", ["run", "--silent", "demo", "--", "--out", `${directory}/`], {
    cwd: fileURLToPath(new URL("../../..", import.meta.url)),
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill());
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, "close")]);
  expect(code).toBe(0);
  expect(await readdir(directory)).toEqual([expect.stringMatching(/^the-paper-boat\.(mp4|webp)$/)]);
  expect(output).toMatch(/^saved .*the-paper-boat\.(mp4|webp)\n +11 s of 640 x 360, \d+ KiB/m);
  for (const scene of [1, 2, 3, 4, 5]) expect(output).toContain(`step "scene-${scene}" done after`);
});
