import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { retake } from "./harness.ts";

const main = join(import.meta.dirname, "..", "..", "src", "cli", "main.ts");
const handlers = join(import.meta.dirname, "fixtures", "handlers.ts");

let directory = "";
let server: Process;
let target = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "retake-main-"));
  await writeFile(
    join(directory, "retake.yaml"),
    "log: { level: silent }\ndrain_timeout: 60s\nsecurity: { anonymous_level: ACCESS_LEVEL_ADMIN }\n",
  );
  server = start("serve", "--grpc-port", "0", "--web-port", "off", "--handlers", handlers);
  await server.seen(/gRPC {2}\S+\n/);
  target = /gRPC {2}(\S+)/.exec(server.stderr())?.[1] ?? "";
});
afterAll(async () => {
  server.child.kill("SIGKILL");
  await rm(directory, { recursive: true, force: true });
});

interface Process {
  readonly child: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  seen(pattern: RegExp): Promise<void>;
  ended(): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

/** The command line as a process of its own, in a directory with a configuration. */
function start(...argv: string[]): Process {
  const child = spawn(process.execPath, ["--conditions=retake-source", main, ...argv], {
    cwd: directory,
    env: { ...process.env, RETAKE_TARGET: target, NODE_NO_WARNINGS: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const written = { stdout: "", stderr: "" };
  const looks = new Set<() => void>();
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8").on("data", (text: string) => {
      written[name] += text;
      for (const look of looks) look();
    });
  }
  const exited = once(child, "close");
  return {
    child,
    stdout: () => written.stdout,
    stderr: () => written.stderr,
    seen: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (pattern.test(written.stdout) || pattern.test(written.stderr)) resolve();
        };
        looks.add(look);
        look();
        void exited.then(() => reject(new Error(`it ended without ${pattern}: ${written.stdout}${written.stderr}`)));
      }),
    ended: async () => {
      const [code, signal] = (await exited) as [number | null, NodeJS.Signals | null];
      return { code, signal };
    },
  };
}

describe("the retake process", () => {
  it("reads its arguments, and exits with the code", async () => {
    const unknown = start("wach");
    expect(await unknown.ended()).toEqual({ code: 2, signal: null });
    expect(unknown.stdout()).toBe("");
    expect(unknown.stderr()).toContain('Did you mean "watch"?');
  });

  it("takes the target from the environment, and leaves no handle behind that would keep it", async () => {
    const listing = start("workflows");
    expect(await listing.ended()).toEqual({ code: 0, signal: null });
    expect(listing.stdout()).toContain("retake.test.v1.WorkflowsService/Plain");
  });

  it("stops watching at Ctrl-C, and lets the run go on", async () => {
    const watching = start("run", "Streaming", "--watch");
    await watching.seen(/progress: working/);
    watching.child.kill("SIGINT");
    expect(await watching.ended()).toEqual({ code: 130, signal: null });
    expect(watching.stderr()).toContain("goes on");
    const { stdout } = await retake(["runs", "list", "--state", "running"], { env: { RETAKE_TARGET: target } });
    expect(stdout).toContain("WorkflowsService/Streaming");
  });

  it("ends quietly when its reader has seen enough", async () => {
    const watching = start("run", "Streaming", "--watch");
    await watching.seen(/accepted/);
    watching.child.stdout?.destroy();
    watching.child.kill("SIGINT");
    expect((await watching.ended()).signal).toBeNull();
    expect(watching.stderr()).not.toContain("EPIPE");
  });

  it("drains at the first signal, and stops at once at the second", async () => {
    // The run that the tests before left behind keeps the drain waiting for a minute.
    server.child.kill("SIGTERM");
    await server.seen(/Stopping/);
    server.child.kill("SIGTERM");
    expect(await server.ended()).toEqual({ code: 143, signal: null });
  });
});
