import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const main = join(import.meta.dirname, "../../src/cli/main.ts");
const handlers = join(import.meta.dirname, "../cli/fixtures/handlers.ts");

let directory = "";
let elsewhere = "";
const children = new Set<ChildProcess>();
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "retake-first-"));
  elsewhere = await mkdtemp(join(tmpdir(), "retake-elsewhere-"));
});
afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  children.clear();
  for (const each of [directory, elsewhere]) await rm(each, { recursive: true, force: true });
});

const env = { ...process.env, NODE_OPTIONS: "", RETAKE_API_KEY: undefined, RETAKE_TARGET: undefined };

/** A server in a directory, without a configuration, from its start until it says where it listens. */
async function serve() {
  const flags = ["serve", "--grpc-port", "0", "--web-port", "off", "--handlers", handlers];
  const child = spawn(process.execPath, ["--conditions=retake-source", main, ...flags], { cwd: directory, env });
  children.add(child);
  const printed = { stdout: "", stderr: "" };
  const listening = Promise.withResolvers<string>();
  child.stdout.on("data", (chunk) => (printed.stdout += chunk));
  child.stderr.on("data", (chunk) => {
    printed.stderr += chunk;
    const target = /^gRPC {2}(\S+)$/m.exec(printed.stderr)?.[1];
    if (target !== undefined) listening.resolve(target);
  });
  const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
  void exited.then(() => listening.reject(new Error(`it ended: ${printed.stderr}`)));
  const target = await listening.promise;
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal);
    await exited;
  };
  return { printed, target, end };
}

/** A command line in a directory, and what comes of it. */
function retake(cwd: string, target: string, ...argv: string[]): Promise<{ stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const words = ["--conditions=retake-source", main, ...argv, "--target", target];
    execFile(process.execPath, words, { cwd, env }, (_, stdout, stderr) => resolve({ stdout, stderr }));
  });
}

describe("retake serve in an empty directory", () => {
  it("lets the command line of that directory in as ADMIN, and tells its key nowhere but there", async () => {
    const first = await serve();
    const key = /^Admin key {2}(rtk_\S+)$/m.exec(first.printed.stderr)?.[1] ?? "none";
    const file = join(directory, ".retake", "admin.key");
    expect(await readFile(file, "utf8")).toBe(`${key}\n`);
    expect([(await stat(file)).mode & 0o777, (await stat(join(directory, ".retake"))).mode & 0o777]).toEqual([
      0o600, 0o700,
    ]);
    const listed = await retake(directory, first.target, "keys", "list");
    expect(listed.stdout).toMatch(/ admin +ADMIN +active /);
    const made = await retake(directory, first.target, "keys", "create", "ana");
    expect(made.stderr).toContain("Made        by admin, ");

    // What was answered is kept, and the key that was told is nowhere else, however the server ends.
    await first.end("SIGKILL");
    for (const name of await readdir(join(directory, ".retake"), { recursive: true })) {
      const path = join(directory, ".retake", name);
      if (path === file || !(await stat(path)).isFile()) continue;
      expect([name, (await readFile(path)).includes(key.slice(-40))]).toEqual([name, false]);
    }
    const second = await serve();
    expect(second.printed.stderr).not.toContain("rtk_");
    expect((await retake(directory, second.target, "keys", "list")).stdout).toContain("ana");
    const stranger = await retake(elsewhere, second.target, "keys", "list", "--api-key", made.stdout.trim());
    expect(stranger.stderr).not.toContain("not accepted");
    await second.end("SIGTERM");
    expect(first.printed.stdout + second.printed.stdout).not.toContain("rtk_");
  }, 60_000);
});
