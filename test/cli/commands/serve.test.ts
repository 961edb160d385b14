import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runCli } from "../../../src/cli/run-cli.ts";
import { createIo, jsonLines, retake } from "../harness.ts";

const handlers = join(import.meta.dirname, "..", "fixtures", "handlers.ts");

let directory = "";
let quiet = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "retake-serve-"));
  quiet = join(directory, "quiet.yaml");
  await writeFile(quiet, "log: { level: silent }\n");
});
afterEach(() => rm(directory, { recursive: true }));

const inDirectory = (...argv: string[]) => ["serve", "--config", quiet, "--data", join(directory, "data"), ...argv];
const onFreePorts = (...argv: string[]) => inDirectory("--grpc-port", "0", "--web-port", "off", ...argv);

async function fileWith(name: string, content: string): Promise<string> {
  await writeFile(join(directory, name), content);
  return join(directory, name);
}

describe("retake serve", () => {
  it("serves what its modules implement, says where, and stops cleanly when it is told to", async () => {
    const { io, stderr, seen, interrupt } = createIo();
    const serving = runCli(inDirectory("--grpc-port", "0", "--web-port", "0", "--handlers", handlers), io);
    await seen(/web {3}http:\/\/127\.0\.0\.1:\d+\n/);
    const target = /gRPC {2}(\S+)/.exec(stderr())?.[1] ?? "";
    const { exitCode, stdout } = await retake(["run", "Plain", "-i", '{"text": "hi"}', "-w", "-q", "--target", target]);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ text: "hi" });
    const web = /web {3}(\S+)/.exec(stderr())?.[1] ?? "";
    expect((await fetch(`${web}/healthz`)).status).toBe(200);
    interrupt();
    expect(await serving).toBe(0);
    expect(stderr()).toContain("Stopping");
    expect((await retake(["workflows", "--target", target])).exitCode).toBe(3);
  });

  it("tells its addresses as JSON, without those of ports that are off", async () => {
    const { io, stdout, stderr, seen, interrupt } = createIo();
    const serving = runCli(onFreePorts("--json"), io);
    await seen(/\n/);
    expect(jsonLines(stdout())).toEqual([{ grpc: { host: "127.0.0.1", port: expect.any(Number) } }]);
    expect(stderr()).toBe("");
    interrupt();
    expect(await serving).toBe(0);
  });

  it("keeps its runs for the next start", async () => {
    const ids: string[] = [];
    for (const round of [1, 2]) {
      const { io, stderr, seen, interrupt } = createIo();
      const serving = runCli(onFreePorts("--handlers", handlers), io);
      await seen(/gRPC/);
      const env = { RETAKE_TARGET: /gRPC {2}(\S+)/.exec(stderr())?.[1] ?? "" };
      if (round === 1) ids.push((await retake(["run", "Plain"], { env })).stdout.trimEnd());
      else expect((await retake(["runs", "list"], { env })).stdout).toContain(ids[0]);
      interrupt();
      await serving;
    }
  });

  it("names what is wrong in its configuration, with the line", async () => {
    const config = await fileWith("bad.yaml", "grpc:\n  prot: 1\n");
    const { exitCode, stderr } = await retake(["serve", "--config", config]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(`retake: ${config}:2:3: grpc: unknown key "prot". Did you mean "port"?`);
    expect(stderr).not.toContain("    at ");
  });

  it.each([
    [["--config", "/nowhere/retake.yaml"], "there is no such file"],
    [["--grpc-port", "70000"], '--grpc-port: "70000" is no port; give one from 1 to 65535, 0 for a free one, or off'],
    [["--web-port", "x"], '--web-port: "x" is no port'],
    [["--grpc-port", "off", "--web-port", "off"], "both ports are off"],
    [["--handlers", "./nowhere.ts"], "--handlers: there is no module ./nowhere.ts here"],
    [["--handlers", "no-such-package"], "--handlers: there is no module no-such-package here"],
    [["now"], '"now" is one argument too many'],
  ])("refuses %j", async (flags, message) => {
    const { exitCode, stderr } = await retake(["serve", ...flags]);
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
  });

  it.each([
    [
      "throws.mjs",
      "throw new Error('out of cards')",
      6,
      /throws\.mjs cannot be loaded: Error: out of cards\n +at .*throws\.mjs:1/,
    ],
    ["syntax.mjs", "export default (", 6, /syntax\.mjs cannot be loaded: \S/],
    [
      "empty.mjs",
      "export const x = 1",
      2,
      /empty\.mjs exports no function to call: export default function register\(server\)/,
    ],
    [
      "fails.mjs",
      "export function register() { throw new Error('no GPU') }",
      6,
      /fails\.mjs: Error: no GPU\n +at register/,
    ],
    ["late.mjs", "export default async () => { throw new Error('no GPU') }", 6, /late\.mjs: Error: no GPU/],
  ])("says what is wrong with a module: %s", async (name, content, exitCode, message) => {
    const { exitCode: exited, stderr } = await retake(onFreePorts("--handlers", await fileWith(name, content)));
    expect(stderr).toMatch(message);
    expect(exited).toBe(exitCode);
  });

  it("says without a stack that its port is in use, or its directory another server's", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as { port: number };
    const inUse = await retake(inDirectory("--grpc-port", String(port), "--web-port", "off"));
    expect(inUse.exitCode).toBe(6);
    expect(inUse.stderr).toMatch(/^retake: .*the port is in use/);
    expect(inUse.stderr).not.toContain("    at ");
    await new Promise((resolve) => taken.close(resolve));

    const { io, seen, interrupt } = createIo();
    const serving = runCli(onFreePorts(), io);
    await seen(/gRPC/);
    const locked = await retake(onFreePorts());
    expect(locked.exitCode).toBe(6);
    expect(locked.stderr).not.toContain("    at ");
    interrupt();
    await serving;
  });
});
