import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CliServer, retake as cli, startServer } from "../harness.ts";

let server: CliServer;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "retake-report-"));
  server = await startServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const retake = (...argv: string[]) => cli(argv, { env: server.env });

describe("retake report", () => {
  it("writes a page and JSON in place of those of before, and leaves nothing else behind", async () => {
    const [page, json] = [join(folder, "report.html"), join(folder, "report.json")];
    await writeFile(page, "that of before");
    expect(await retake("report", "--html", page, "--json", json, "--window", "6h")).toEqual({
      exitCode: 0,
      stdout: "",
      stderr: "",
    });
    expect(await readFile(page, "utf8")).toMatch(/^<!doctype html>[\s\S]*The 6 h from [\s\S]*<\/html>\n$/);
    const report = JSON.parse(await readFile(json, "utf8")) as Record<string, unknown>;
    expect(report["status"]).toMatchObject({ serving: true });
    expect(Date.parse(String(report["until"])) - Date.parse(String(report["since"]))).toBe(6 * 3_600_000);
    expect(await readdir(folder)).toEqual(["report.html", "report.json"]);
  });

  it("writes to standard output for a dash", async () => {
    const { stdout } = await retake("report", "--json", "-");
    expect(Object.keys(JSON.parse(stdout) as object).slice(0, 2)).toEqual(["since", "until"]);
    expect((await retake("report", "--html=-")).stdout).toMatch(/^<!doctype html>/);
  });

  it.each([
    [[], "where is it to go? --html FILE, --json FILE, or both"],
    [["--json", "a", "--html", "a"], "two files are needed"],
    [["--json", "-", "--window", "5m"], "--window 5m: it must be 10m to 90d"],
    [["--json", "-", "--window", "soon"], '--window: "soon" is no duration'],
    [["--html", "/nowhere/report.html"], "--html: /nowhere cannot be written to"],
  ])("is told what is wrong with %j", async (argv, message) => {
    const { exitCode, stderr } = await retake("report", ...argv);
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
  });

  it("says why a file cannot be written, and leaves nothing of it", async () => {
    const { exitCode, stderr } = await retake("report", "--json", folder);
    expect(stderr).toMatch(/cannot be written: /);
    expect(exitCode).toBe(6);
    expect((await readdir(tmpdir())).filter((name) => name.endsWith(".part"))).toEqual([]);
  });

  it("has its own words for --json in its help", async () => {
    const { stdout } = await retake("report", "--help");
    expect(stdout.match(/--json/g)?.length).toBe(3);
    expect(stdout).toContain("--json FILE");
    expect(stdout).not.toContain("one object a line");
  });
});
