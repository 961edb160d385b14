import { rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { payloadDigest } from "../../../src/runs/ports/payloads.ts";
import { openSqliteStorage } from "../../../src/runs/sqlite/index.ts";
import { payloadFileName } from "../../../src/runs/sqlite/payload-file-names.ts";
import { temporaryDirectory } from "../../runs/sqlite/temporary-directory.ts";
import { largeBytes, writeRun } from "../../runs/sqlite/written-runs.ts";
import { jsonLines, retake } from "../harness.ts";

async function withRun(): Promise<string> {
  const directory = temporaryDirectory();
  const storage = openSqliteStorage({ directory, clock: systemClock });
  await writeRun(storage, "a", { result: largeBytes(1) });
  await storage.close();
  return directory;
}

describe("retake check", () => {
  it("says that everything is sound, and how much that is", async () => {
    const { exitCode, stdout, stderr } = await retake(["check", "-d", await withRun()]);

    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatch(/: 1 run with 3 events; 2 payloads, 1 large one in a file; \d+ KiB, \d+ B of it free\n/);
    expect(stdout).toMatch(/Journal format \d+, written by retake \d.*\nEverything is sound\.\n$/s);
  });

  it("lists what is damaged, and exits so", async () => {
    const directory = await withRun();
    const name = payloadFileName(payloadDigest(largeBytes(1)));
    rmSync(join(directory, name));
    const { exitCode, stdout, stderr } = await retake(["check", "-d", directory]);

    expect(exitCode).toBe(7);
    expect(stdout).toContain(`1 problem:\n  ${name} of run a is not there\n`);
    expect(stderr).toMatch(/keep a copy of the directory, and restore a backup/);

    const json = await retake(["check", "-d", directory, "--json"]);
    expect(json.exitCode).toBe(7);
    expect(jsonLines(json.stdout)).toEqual([
      expect.objectContaining({
        problems: [{ message: `${name} of run a is not there`, runId: "a" }],
        problemCount: "1",
      }),
    ]);
  });

  it("says who uses the directory", async () => {
    const directory = temporaryDirectory();
    const storage = openSqliteStorage({ directory, clock: systemClock });
    const { exitCode, stderr } = await retake(["check", "-d", directory]);
    await storage.close();

    expect(exitCode).toBe(6);
    expect(stderr).toMatch(new RegExp(`is in use by process ${process.pid} on .*: stop that one`));
  });
});
