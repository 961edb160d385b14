import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { connect, createServer } from "node:net";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A server program that has been started. */
export interface Program extends AsyncDisposable {
  /** Resolves once it takes connections there. @throws Error with what it has said, if it ends before */
  listens(port: number): Promise<void>;
}

/** Where a program is: in one of these folders, or on the PATH. */
export function findProgram(name: string, folders: readonly string[] = []): string | undefined {
  return [...folders, ...(process.env["PATH"] ?? "").split(delimiter)]
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

export function startProgram(path: string, args: readonly string[], options: SpawnOptions = {}): Program {
  const child = spawn(path, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  const end = (): void => void child.kill("SIGKILL");
  process.once("exit", end);
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk) => {
      said = `${said}${chunk}`.slice(-4000);
    });
  }
  return {
    async listens(port) {
      while (!(await accepts(port))) {
        if (hasEnded(child)) throw new Error(`${path} has ended:\n${said}`);
        await sleep(50);
      }
    },
    async [Symbol.asyncDispose]() {
      process.off("exit", end);
      if (hasEnded(child)) return;
      const ended = new Promise((resolve) => child.once("close", resolve));
      // PostgreSQL leaves its helpers behind when it is killed; this is its quick end, and that of the others.
      child.kill("SIGINT");
      const patience = new AbortController();
      await Promise.race([ended, sleep(10_000, undefined, { signal: patience.signal }).then(end)]);
      await ended;
      patience.abort();
    },
  };
}

/** A port that nobody listens at. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
