import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createNetServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { JsonObject } from "@bufbuild/protobuf";

/** What the fixture gets as its one argument, in JSON. */
export interface ServerArguments {
  /** A ServerConfig, as in a configuration file. */
  readonly config: JsonObject;
  /** Where handlers leave their marks. */
  readonly marksPath: string;
  /** How long a piece of work takes at most, in ms. */
  readonly longestWorkMs: number;
}

export interface ServerSiteOptions {
  /** How long running attempts may go on when the server is told to stop. Default: 30 s, the server's own. */
  readonly drainTimeoutMs?: number;
  /** Default: 10. */
  readonly longestWorkMs?: number;
  /** A file below `fixtures/`. Default: the workload's server. */
  readonly fixture?: string;
}

export interface LaunchOptions {
  /** Starts the server in its place, with the server's command line appended: a tracer, for example. */
  readonly launcher?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
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
  /** Resolves when it listens, as it prints itself. Rejects, with all that it has printed, when it ends before. */
  readonly ready: Promise<void>;
  readonly exited: Promise<Exit>;
  /** The server's own process, also below a launcher. Known once it is ready. */
  readonly pid: number;
  /** Everything that it has printed. */
  readonly output: string;
  /** Whether it has printed something like that, now or in the time to come. Rejects when it ends before. */
  printed(pattern: RegExp): Promise<void>;
  /** Releases the handlers that wait at a gate. */
  release(gate: string): void;
  signal(signal: NodeJS.Signals): void;
  /** `kill -9`; resolves when it is gone. */
  kill(): Promise<Exit>;
  /** SIGTERM; resolves when it is gone. */
  terminate(): Promise<Exit>;
}

const fixtures = join(import.meta.dirname, "fixtures");

/** Saves half of the time that a start takes; dozens of them add up. */
const compileCache = join(import.meta.dirname, "../../build/compile-cache");

/** Processes of this test process that may still run. Their own end of the pipe takes care of them otherwise. */
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) {
    child.kill("SIGKILL");
  }
});

/** Prepares a site with ports of its own and an empty data directory. Nothing runs there yet. */
export async function createServerSite(options: ServerSiteOptions = {}): Promise<ServerSite> {
  const root = await mkdtemp(join(tmpdir(), "retake-e2e-"));
  const [grpcPort, webPort] = [await freePort(), await freePort()];
  const dataDirectory = join(root, "data");
  const marksPath = join(root, "marks");
  const processes: ServerProcess[] = [];
  const serverArguments: ServerArguments = {
    config: {
      dataDirectory,
      grpc: { port: grpcPort },
      web: { port: webPort },
      ...(options.drainTimeoutMs === undefined ? {} : { drainTimeout: `${options.drainTimeoutMs / 1000}s` }),
    },
    marksPath,
    longestWorkMs: options.longestWorkMs ?? 10,
  };
  return {
    grpcPort,
    webPort,
    root,
    dataDirectory,
    marksPath,
    launch: ({ launcher = [], env = {} } = {}) => {
      const command = [
        ...launcher,
        process.execPath,
        "--conditions=retake-source",
        join(fixtures, options.fixture ?? "workload-server.ts"),
        JSON.stringify(serverArguments),
      ];
      const started = startProcess(command, env);
      processes.push(started);
      return started;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(processes.map((started) => started.kill()));
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** Starts a command that prints `{"ready":true,"pid":…}` once it can be used, and ends when its input does. */
export function startProcess(command: readonly string[], env: Readonly<Record<string, string>> = {}): ServerProcess {
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, NODE_OPTIONS: "", NODE_COMPILE_CACHE: compileCache, ...env },
  });
  running.add(child);
  // A write to a process that has just been killed is no error of the test.
  child.stdin.on("error", () => undefined);

  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const ready = Promise.withResolvers<void>();
  const exited = Promise.withResolvers<Exit>();
  let pid: number | undefined;
  let over: Exit | undefined;

  const onLine = (line: string): void => {
    lines.push(line);
    if (line.startsWith('{"ready":true')) {
      pid = (JSON.parse(line) as { pid: number }).pid;
      ready.resolve();
    }
    for (const look of [...waiting]) {
      look();
    }
  };
  createInterface({ input: child.stdout }).on("line", onLine);
  createInterface({ input: child.stderr }).on("line", onLine);

  const describeEnd = (what: string): Error =>
    new Error(`the server ended (${over?.code ?? over?.signal}) ${what}. It printed:\n${lines.join("\n")}`);
  child.on("error", (error) => {
    running.delete(child);
    over = { code: null, signal: null };
    ready.reject(error);
    exited.resolve(over);
  });
  // "close" comes after the last line of its output.
  child.on("close", (code, signal) => {
    running.delete(child);
    over = { code, signal };
    ready.reject(describeEnd("before it was ready"));
    for (const look of [...waiting]) {
      look();
    }
    exited.resolve(over);
  });
  // Whoever does not wait for it to be ready has no use for the error either.
  ready.promise.catch(() => undefined);

  const signal = (name: NodeJS.Signals): void => {
    if (over !== undefined) {
      return;
    }
    if (pid === undefined) {
      child.kill(name);
    } else {
      process.kill(pid, name);
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
    get output() {
      return lines.join("\n");
    },
    printed: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (lines.some((line) => pattern.test(line))) {
            waiting.delete(look);
            resolve();
          } else if (over !== undefined) {
            waiting.delete(look);
            reject(describeEnd(`without printing ${pattern}`));
          }
        };
        waiting.add(look);
        look();
      }),
    release: (gate) => {
      child.stdin.write(`${gate}\n`);
    },
    signal,
    kill: () => {
      signal("SIGKILL");
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
async function freePort(): Promise<number> {
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
