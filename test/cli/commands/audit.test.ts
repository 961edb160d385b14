import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { temporaryDirectory } from "../../runs/sqlite/temporary-directory.ts";
import { batch, key, openFiles } from "../../security/audit/logs.ts";
import { type CliServer, retake as cli, jsonLines, startServer } from "../harness.ts";

let server: CliServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server[Symbol.asyncDispose]());
const retake = (...argv: string[]) => cli(argv, { env: server.env });

describe("retake audit", () => {
  it("lists who did what, exports it, and verifies the export", async () => {
    await retake("run", "Plain", "--watch", "--quiet");
    await retake("workflows", "pause", "Plain", "--reason", "new cards");
    await retake("workflows", "resume", "Plain");
    const { stdout } = await retake("audit", "list");
    expect(stdout).toMatch(/^TIME +WHO +WHAT +OUTCOME +TO +FROM +MORE\n/);
    expect(stdout).toMatch(
      /^\d{4}-\S+Z +anonymous +workflow\.pause +granted +retake\.test\.v1\.WorkflowsService\/Plain +127\.0\.0\.1 +reason=new cards$/m,
    );
    expect((await retake("audit", "list", "--action", "key.*")).stderr).toBe("No records match.\n");
    const newest = jsonLines((await retake("audit", "list", "-n", "1", "--json")).stdout);
    expect(newest).toMatchObject([{ action: "workflow.resume" }]);
    const exported = await retake("audit", "export");
    expect(jsonLines(exported.stdout).map((line) => (line as { action: string }).action)).toEqual([
      "run.start",
      "workflow.pause",
      "workflow.resume",
    ]);
    const file = join(temporaryDirectory(), "export.jsonl");
    writeFileSync(file, exported.stdout);
    const verified = await retake("audit", "verify", file);
    expect(verified.exitCode).toBe(0);
    expect(verified.stdout).toMatch(/^3 records, 1 to 3: all as they were written\.\nLast: 3:[0-9a-f]{64}\n$/);
    writeFileSync(file, exported.stdout.replace("new cards", "old cards"));
    const bad = await retake("audit", "verify", file);
    expect(bad.exitCode).toBe(7);
    expect(bad.stdout).toMatch(/^NOT SOUND: line 2 of export\.jsonl \(record 2\) was changed/);
    const { exitCode, stderr } = await retake("audit", "list", "--outcome", "lost");
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining("granted, denied and failed")]);
  });

  it("verifies a data directory, by the key that signs it and by what was noted", async () => {
    const directory = temporaryDirectory();
    const files = openFiles(join(directory, "audit"));
    files.append(batch(3), 0);
    files.close();
    const keyFile = join(directory, "a.key");
    writeFileSync(keyFile, Buffer.from(key).toString("hex"), { mode: 0o600 });
    const { stdout, exitCode } = await retake("audit", "verify", "-d", directory, "--key", keyFile);
    expect(exitCode).toBe(0);
    const known = /^Last: (\S+)$/m.exec(stdout)?.[1] ?? "";
    const trusting = await retake("audit", "verify", "-d", directory, "--known", known, "--json");
    expect(trusting.stderr).toMatch(/taken on trust: .*secrets\/audit\.key is not there/);
    expect(jsonLines(trusting.stdout)).toMatchObject([{ sound: true, records: "3" }]);
    const path = join(directory, "audit", "0000000000000001.jsonl");
    writeFileSync(path, readFileSync(path, "utf8").split("\n").slice(0, 2).join("\n").concat("\n"));
    const cut = await retake("audit", "verify", "-d", directory, "--key", keyFile);
    expect([cut.exitCode, cut.stdout]).toEqual([7, expect.stringContaining("record 3 is missing")]);
    expect((await retake("audit", "verify", "--known", "x")).exitCode).toBe(2);
    expect((await retake("audit", "verify", "-d", join(directory, "none"))).exitCode).toBe(2);
  });
});

describe("retake security report", () => {
  it("sums up what was done", async () => {
    await retake("run", "Plain", "--watch", "--quiet");
    const { stdout } = await retake("security", "report");
    expect(stdout).toMatch(/^\d{4}-\S+Z to \S+Z: \d+ events?, 0 denied, 0 lock-outs\n/);
    expect(stdout).toMatch(/^run\.start +granted +\d+$/m);
    expect(stdout).toMatch(/^anonymous +default +\d+ +0 +0$/m);
    const [json] = jsonLines((await retake("security", "report", "--since", "1h", "--json")).stdout);
    expect(json).toMatchObject({ subjects: [{ subject: "anonymous" }] });
  });
});
