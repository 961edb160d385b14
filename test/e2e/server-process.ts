import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createNetServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { environment } from "./server-environment.ts";

export interface ServerSiteOptions {
  /** How long running attempts may go on when the server is told to stop. Default: the server's own, 30 s. */
  readonly drainTimeoutMs?: number;
  /** How long a piece of work of the handlers takes at most. Default: 10. */
  readonly longestWorkMs?: number;
  /** Web pages of these origins may call it. Default: none. */
  readonly allowedOrigins?: readonly string[];
  /** More of its command line. */
  readonly flags?: readonly string[];
  /** More of its configuration, as JSON. Of its ports it says more; anything else it says in place of what it would be. */
  readonly config?: { readonly grpc?: object; readonly web?: object; readonly [more: string]: unknown };
  /** More of its environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface LaunchOptions {
  /** Starts the server in its place, with the server's command line appended: a tracer, for example. */
  readonly launcher?: readonly string[];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Where one server lives, process after process: its ports, its data directory, its marks. */
export interface ServerSite extends AsyncDisposable {
  readonly grpcPort: number;
  readonly webPort: number;
  /** Holds everything that is of this site. */
  readonly root: string;
  readonly dataDirectory: string;
  readonly marksPath: string;
  /** Starts a process; the one before must have ended. */
  launch(options?: LaunchOptions): ServerProcess;
  /** Kills what still runs and removes the files. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** A server, in a process of its own, from its start to its end. */
export interface ServerProcess {
  /** Resolves when it listens, as it says itself. Rejects, with all that it has printed, when it ends before. */
  readonly ready: Promise<void>;
  readonly exited: Promise<Exit>;
  /** The server's own process, also below a launcher. Known once it is ready. */
  readonly pid: number;
  /** What it has printed up to now, on both of its outputs. */
  readonly lines: readonly string[];
  /** Releases the handlers that wait at a gate. */
  release(gate: string): void;
  signal(signal: NodeJS.Signals): void;
  /** `kill -9`; resolves when it is gone. */
  kill(): Promise<Exit>;
  /** SIGTERM; resolves when it is gone. */
  terminate(): Promise<Exit>;
}

const repository = join(import.meta.dirname, "../..");

/** Saves half of the time that a start takes; dozens of them add up. */
const compileCache = join(repository, "build/compile-cache");

/** What a test that has timed out leaves behind. Of a test process that is killed, servers notice the end of their pipe. */
const running = new Set<ChildProcess>();
const roots = new Set<string>();
process.on("exit", () => {
  for (const child of running) {
    child.kill("SIGKILL");
  }
  for (const root of roots) {
    rmSync(root, { recursive: true, force: true });
  }
});

/** Prepares a site with ports of its own and an empty data directory. Nothing runs there yet. */
export async function createServerSite(options: ServerSiteOptions = {}): Promise<ServerSite> {
  const { drainTimeoutMs, longestWorkMs = 10, allowedOrigins = [], flags = [], config } = options;
  const root = await mkdtemp(join(tmpdir(), "retake-e2e-"));
  roots.add(root);
  const [grpcPort, webPort] = [await freePort(), await freePort()];
  const dataDirectory = join(root, "data");
  const marksPath = join(root, "marks");
  const configuration = join(root, "retake.yaml");
  await writeFile(
    configuration,
    JSON.stringify({
      dataDirectory,
      security: { anonymous_level: "ACCESS_LEVEL_ADMIN" },
      ...(drainTimeoutMs === undefined ? {} : { drainTimeout: `${drainTimeoutMs / 1000}s` }),
      ...config,
      grpc: { port: grpcPort, ...config?.grpc },
      web: { port: webPort, allowedOrigins, ...config?.web },
    }),
  );
  const command = [
    process.execPath,
    "--conditions=retake-source",
    join(repository, "src/cli/main.ts"),
    "serve",
    "--json",
    `--config=${configuration}`,
    `--handlers=${join(import.meta.dirname, "fixtures/workload-handlers.ts")}`,
    ...flags,
  ];
  const env = { ...environment.write({ marksPath, longestWorkMs }), ...options.env };
  const processes: ServerProcess[] = [];
  return {
    grpcPort,
    webPort,
    root,
    dataDirectory,
    marksPath,
    launch: ({ launcher = [] } = {}) => {
      const started = startServer([...launcher, ...command], env);
      processes.push(started);
      return started;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(processes.map((started) => started.kill()));
      await rm(root, { recursive: true, force: true });
      roots.delete(root);
    },
  };
}

function startServer(command: readonly string[], env: Readonly<Record<string, string>>): ServerProcess {
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, NODE_OPTIONS: "", NODE_COMPILE_CACHE: compileCache, ...env },
  });
  running.add(child);
  // A write to a process that has just been killed is no error of the test.
  child.stdin.on("error", () => undefined);

  const lines: string[] = [];
  const ready = Promise.withResolvers<void>();
  const exited = Promise.withResolvers<Exit>();
  let pid: number | undefined;
  let over = false;

  const onLine = (line: string): void => {
    lines.push(line);
    if (line.startsWith('{"pid":')) {
      pid = (JSON.parse(line) as { pid: number }).pid;
    } else if (line.startsWith('{"grpc":')) {
      ready.resolve();
    }
  };
  createInterface({ input: child.stdout }).on("line", onLine);
  createInterface({ input: child.stderr }).on("line", onLine);

  const end = (exit: Exit, error: Error): void => {
    running.delete(child);
    over = true;
    ready.reject(error);
    exited.resolve(exit);
  };
  child.on("error", (error) => end({ code: null, signal: null }, error));
  // "close" comes after the last line of its output.
  child.on("close", (code, signal) =>
    end(
      { code, signal },
      new Error(`the server ended (${code ?? signal}) before it was ready. It printed:\n${lines.join("\n")}`),
    ),
  );
  // Whoever does not wait for it to be ready has no use for the error either.
  ready.promise.catch(() => undefined);

  const signal = (name: NodeJS.Signals): void => {
    if (over) {
      return;
    }
    if (pid === undefined || pid === child.pid) {
      child.kill(name);
      return;
    }
    try {
      process.kill(pid, name);
    } catch {
      // It is gone, and its launcher about to be.
    }
  };
  return {
    ready: ready.promise,
    exited: exited.promise,
    get pid() {
      if (pid === undefined) {
        throw new Error("the server is not ready yet");
      }
      return pid;
    },
    lines,
    release: (gate) => {
      child.stdin.write(`${gate}\n`);
    },
    signal,
    kill: () => {
      signal("SIGKILL");
      // Of a launcher that has not come to the server yet, this is what the server will notice.
      child.stdin.destroy();
      return exited.promise;
    },
    terminate: () => {
      signal("SIGTERM");
      return exited.promise;
    },
  };
}

/**
 * A loopback port that is free and stays so while the server is away: below the range from which systems take ports for
 * outgoing connections.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    if (await isFree(port)) {
      return port;
    }
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createNetServer();
    probe.on("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}
