import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { payloadDigest } from "../../../src/runs/ports/payloads.ts";
import { openSqliteStorage } from "../../../src/runs/sqlite/index.ts";
import { payloadFileName } from "../../../src/runs/sqlite/payload-file-names.ts";
import { temporaryDirectory } from "../../runs/sqlite/temporary-directory.ts";
import { largeBytes, writeRun } from "../../runs/sqlite/written-runs.ts";
import { jsonLines, retake } from "../harness.ts";

/** A folder with the data of a server that runs. */
async function withData(): Promise<string> {
  const folder = temporaryDirectory();
  const storage = openSqliteStorage({ directory: join(folder, "data"), clock: systemClock });
  onTestFinished(() => storage.close());
  await writeRun(storage, "a", { result: largeBytes(1) });
  return folder;
}

describe("retake backup and retake restore", () => {
  it("copy a data directory, say what is in it, and bring it back", async () => {
    const folder = await withData();
    const file = join(folder, "backup.tar");
    const backedUp = await retake(["backup", file, "--data-directory", join(folder, "data")]);
    expect(backedUp).toMatchObject({ exitCode: 0, stderr: "" });
    expect(backedUp.stdout).toMatch(/backup\.tar: 1 run with 3 events; 2 payloads, 1 large one in a file; \d+ KiB\n$/);

    const restored = await retake(["restore", file, "-d", join(folder, "other")]);
    expect(restored).toMatchObject({ exitCode: 0, stderr: "" });
    expect(restored.stdout).toMatch(/other: 1 run with 3 events; .*, as of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(retake /);
  });

  it("find the data directory in the configuration, and tell the manifest as JSON", async () => {
    const folder = await withData();
    const config = join(folder, "retake.yaml");
    writeFileSync(config, `data_directory: ${join(folder, "data")}\n`);
    const { exitCode, stdout } = await retake(["backup", join(folder, "b.tar"), "--config", config, "--json"]);

    expect(exitCode).toBe(0);
    expect(jsonLines(stdout)).toEqual([
      expect.objectContaining({
        format: 1,
        journalFormat: 1,
        counts: expect.objectContaining({ runs: "1", files: "1" }),
      }),
    ]);
  });

  it("tell the exit code of damage", async () => {
    const folder = await withData();
    rmSync(join(folder, "data", payloadFileName(payloadDigest(largeBytes(1)))));
    const file = join(folder, "backup.tar");
    const backedUp = await retake(["backup", file, "-d", join(folder, "data")]);
    expect(backedUp).toMatchObject({ exitCode: 7, stderr: expect.stringMatching(/^1 payload file is missing in /) });

    writeFileSync(file, readFileSync(file).subarray(0, 20_000));
    const restored = await retake(["restore", file, "-d", join(folder, "other")]);
    expect(restored).toMatchObject({ exitCode: 7, stderr: expect.stringMatching(/^retake: .* is damaged: /) });
  });

  it.each([
    [
      "a directory without a journal",
      ["backup", "/tmp/x.tar", "-d", "/nowhere"],
      6,
      /there is no journal in \/nowhere/,
    ],
    ["a file that cannot be made", ["backup", "/nowhere/x.tar", "-d", "DATA"], 6, /ENOENT.*\/nowhere\/x\.tar/],
    ["a backup that is not there", ["restore", "/nowhere/x.tar", "-d", "NEW"], 6, /there is no file \/nowhere\/x\.tar/],
    ["a directory that is in use", ["restore", "BACKUP", "-d", "DATA"], 6, /has a journal in it/],
    ["no file", ["backup"], 2, /FILE is missing/],
    ["a configuration that is wrong", ["backup", "x.tar", "-c", "CONFIG"], 2, /unknown key "nonsense"/],
  ])("refuse %s in a line, and exit so", async (_, argv, exitCode, message) => {
    const folder = await withData();
    mkdirSync(join(folder, "new"));
    writeFileSync(join(folder, "retake.yaml"), "nonsense: 1\n");
    await retake(["backup", join(folder, "backup.tar"), "-d", join(folder, "data")]);
    const places: Record<string, string> = { DATA: "data", NEW: "new", BACKUP: "backup.tar", CONFIG: "retake.yaml" };
    const ended = await retake(argv.map((word) => (places[word] === undefined ? word : join(folder, places[word]))));

    expect(ended).toMatchObject({ exitCode, stdout: "", stderr: expect.stringMatching(message) });
    expect(ended.stderr).not.toContain("    at ");
  });
});
