import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findTool } from "./tools.ts";

describe("findTool", () => {
  it("finds a program on the PATH", () => {
    expect(findTool("sh", { PATH: "/nowhere:/bin" })).toEqual({ kind: "found", path: "/bin/sh" });
  });

  it("says how to install a missing program, by the name of its package", () => {
    expect(findTool("ffprobe", { PATH: "/nowhere" })).toEqual({
      kind: "missing",
      required: false,
      message: "ffprobe is not on the PATH. Install it, on Debian with: apt-get install ffmpeg",
    });
  });

  it("takes an empty RETAKE_REQUIRE_TOOLS for unset", () => {
    expect(findTool("ffprobe", { PATH: "", RETAKE_REQUIRE_TOOLS: "" })).toMatchObject({ required: false });
    expect(findTool("ffprobe", { PATH: "", RETAKE_REQUIRE_TOOLS: "1" })).toMatchObject({ required: true });
  });
});

describe("tests that need a missing tool", () => {
  const root = join(import.meta.dirname, "..");
  let directory: string;

  beforeAll(async () => {
    // Inside the repository, so that vitest is found, but where no other run looks for tests.
    await mkdir(join(root, "build"), { recursive: true });
    directory = await mkdtemp(join(root, "build", "tools-"));
    const tools = join(root, "test", "tools.ts");
    await writeFile(
      join(directory, "planted.test.ts"),
      `import { it } from "vitest";
       import { describeWithTool, requireTool } from ${JSON.stringify(tools)};
       describeWithTool("no-such-tool", "suite", () => { it("runs", () => { throw new Error("ran"); }); });
       it("test", (context) => { requireTool("no-such-tool", context); throw new Error("ran"); });`,
    );
  });

  afterAll(() => rm(directory, { recursive: true, force: true }));

  it("are skipped loudly", async () => {
    const { code, output } = await runPlanted({});
    expect(output).toContain("Skipped: suite: no-such-tool is not on the PATH");
    expect(output).toContain("Skipped: test: no-such-tool is not on the PATH");
    expect(output).toMatch(/Tests +2 skipped/);
    expect(code).toBe(0);
  });

  it("fail where RETAKE_REQUIRE_TOOLS is set", async () => {
    const { code, output } = await runPlanted({ RETAKE_REQUIRE_TOOLS: "1" });
    expect(output).toMatch(/Tests +2 failed/);
    expect(output).not.toContain("Error: ran");
    expect(code).toBe(1);
  });

  async function runPlanted(env: Record<string, string>): Promise<{ code: number; output: string }> {
    const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
    const { RETAKE_REQUIRE_TOOLS: _, ...inherited } = process.env;
    const run = promisify(execFile)(process.execPath, [vitest, "run", "--no-color", "--root", directory], {
      env: { ...inherited, ...env, NO_COLOR: "1" },
    });
    return run.then(
      ({ stdout, stderr }) => ({ code: 0, output: stdout + stderr }),
      ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({
        code,
        output: stdout + stderr,
      }),
    );
  }
});
