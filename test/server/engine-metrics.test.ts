import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { Instruments } from "../../src/instruments.ts";
import { observeDisk } from "../../src/server/engine-metrics.ts";

const disk = vi.hoisted(() => ({ hangs: false }));

vi.mock("node:fs/promises", async (original) => {
  const own = await original<typeof import("node:fs/promises")>();
  const statfs = (...args: Parameters<typeof own.statfs>) =>
    disk.hangs ? new Promise<never>(() => {}) : own.statfs(...args);
  return { ...own, statfs };
});

it("tells nothing of a disk that has not answered for long", async () => {
  const directory = mkdtempSync(join(tmpdir(), "retake-disk-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  let nowMs = 0;
  const instruments = new Instruments(10);
  observeDisk(instruments, directory, { monotonic: () => nowMs });
  const told = (): string[] =>
    instruments
      .collect((error) => expect.fail(String(error)))
      .filter((family) => [...family.cells()].length > 0)
      .map(({ description: { name } }) => name);
  const all = ["retake.disk.free", "retake.disk.size", "retake.journal.size"];
  await expect.poll(told, { interval: 1 }).toEqual(all);
  disk.hangs = true;
  await expect
    .poll(() => {
      nowMs += 10_000;
      return told();
    })
    .toEqual(["retake.journal.size"]);
  expect(nowMs).toBeGreaterThan(30_000);
});
