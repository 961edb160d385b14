import { type ChildProcess, execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { FigureResult } from "../../bench/figures.ts";

const main = fileURLToPath(new URL("../../bench/main.ts", import.meta.url));
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "retake-bench-test-"));
});

afterEach(() => rm(directory, { recursive: true, force: true }));

describe("npm run bench", () => {
  it("measures real servers, tells by its exit code whether bars hold, and leaves nothing behind", async () => {
    const json = join(directory, "figures.json");
    const { code, stdout } = await bench(["--only", "bridge-to-bare-echo", "--seconds", "2", "--json", json]);
    const { figures } = JSON.parse(await readFile(json, "utf8")) as { figures: FigureResult[] };
    expect(figures).toEqual([
      {
        name: "bridge-to-bare-echo",
        value: expect.any(Number),
        quartiles: [expect.any(Number), expect.any(Number)],
        unit: "ratio",
        bar: { atLeast: 0.9 },
        holds: expect.any(Boolean),
      },
    ]);
    const [figure] = figures;
    expect(figure?.value).toBeGreaterThan(0);
    expect(code).toBe(figure?.holds === true ? 0 : 1);
    expect(stdout).toMatch(/^bridge-to-bare-echo +[0-9.]+ +ratio +[0-9.]+ to [0-9.]+ +>= 0.9 +(holds|MISSED)$/m);
    expect(await readdir(directory)).toEqual(["figures.json"]);
  }, 60_000);

  it("leaves nothing behind when it is interrupted", async () => {
    const { code, stderr } = await bench(["--only", "bridge-to-bare-echo"], (child) => {
      child.stderr?.once("data", () => child.kill("SIGINT"));
    });
    expect(code).toBe(2);
    expect(stderr).toContain("interrupted");
    expect(await readdir(directory)).toEqual([]);
  }, 60_000);

  it("fails when it cannot measure", async () => {
    const { code, stderr } = await bench(["--only", "nothing"]);
    expect(code).toBe(2);
    expect(stderr).toContain('there is no figure "nothing"');
  });
});

function bench(
  args: readonly string[],
  during: (child: ChildProcess) => void = () => undefined,
): Promise<{ code: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ["--conditions=retake-source", main, ...args],
      { env: { ...process.env, TMPDIR: directory } },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
    );
    during(child);
  });
}
