import type { CliIo } from "../../src/cli/io.ts";
import { runCli } from "../../src/cli/run-cli.ts";
import { type Clock, systemClock } from "../../src/clock.ts";
import { silentLogger } from "../../src/runs/index.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { createServer, type RetakeServer, type WorkflowImpl } from "../../src/server/index.ts";
import { createSeededRandom } from "../../src/testing/seeded-random.ts";
import { everyoneIsAdmin } from "../everyone-is-admin.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { handlers } from "../server/handlers.ts";

export interface TestIo {
  readonly io: CliIo;
  readonly stdout: () => string;
  readonly stderr: () => string;
  interrupt(): void;
  hangUp(): void;
  resize(columns: number): void;
  /** Resolves once what was written to either output matches. */
  seen(pattern: RegExp): Promise<void>;
  /** How many wait for the terminal's size to change. */
  readonly resizeListeners: () => number;
}

export interface TestIoOptions {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  readonly stdin?: AsyncIterable<Uint8Array>;
  readonly env?: Readonly<Record<string, string>>;
  readonly clock?: Clock;
}

/** A terminal or a pair of pipes that remembers what was written. */
export function createIo(options: TestIoOptions = {}): TestIo {
  let columns = options.columns ?? 80;
  const rows = options.rows ?? 24;
  const written = { stdout: "", stderr: "" };
  const waiting = new Set<() => void>();
  const resized = new Set<() => void>();
  const hungUp = new Set<() => void>();
  const interrupt = new AbortController();
  const output = (name: "stdout" | "stderr") => ({
    write(text: string) {
      written[name] += text;
      for (const look of waiting) look();
    },
  });
  return {
    io: {
      stdout: output("stdout"),
      stderr: output("stderr"),
      stdin: options.stdin ?? chunks(),
      isTTY: options.isTTY ?? false,
      get columns() {
        return columns;
      },
      rows,
      onResize(listener) {
        resized.add(listener);
        return () => resized.delete(listener);
      },
      onHangup(listener) {
        hungUp.add(listener);
        return () => hungUp.delete(listener);
      },
      // Not the key of a server that happens to have its data in the working directory.
      env: { RETAKE_API_KEY: "", ...options.env },
      clock: options.clock ?? systemClock,
      random: createSeededRandom(11),
      signal: interrupt.signal,
    },
    stdout: () => written.stdout,
    stderr: () => written.stderr,
    interrupt: () => interrupt.abort(),
    hangUp() {
      for (const listener of hungUp) listener();
    },
    resize(width) {
      columns = width;
      for (const listener of resized) listener();
    },
    seen: (pattern) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!pattern.test(written.stdout) && !pattern.test(written.stderr)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    resizeListeners: () => resized.size,
  };
}

export async function* chunks(...texts: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield typeof text === "string" ? new TextEncoder().encode(text) : text;
}

export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line to its end. */
export async function retake(argv: readonly string[], options: TestIoOptions = {}): Promise<Ended> {
  const { io, stdout, stderr } = createIo(options);
  const exitCode = await runCli(argv, io);
  return { exitCode, stdout: stdout(), stderr: stderr() };
}

/** The objects of JSON lines. */
export function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

export interface CliServer extends AsyncDisposable {
  readonly server: RetakeServer;
  /** `RETAKE_TARGET`, as the environment of a command. */
  readonly env: { readonly RETAKE_TARGET: string };
}

/** A real server on a free port, keeping its runs in memory. */
export async function startServer(
  own: WorkflowImpl<typeof WorkflowsService> = {},
  grpc: { readonly reflection?: boolean } = {},
  rest: {
    readonly config?: Parameters<typeof createServer>[0];
    readonly more?: (server: RetakeServer) => void;
  } = {},
): Promise<CliServer> {
  const server = createServer(
    {
      security: everyoneIsAdmin,
      ...(rest.config as object | undefined),
      grpc: { port: 0, ...grpc },
      web: { disabled: true },
    },
    { log: silentLogger, openStorage: (_, clock) => createMemoryStorage({ clock }) },
  );
  server.implement(WorkflowsService, handlers(own));
  rest.more?.(server);
  await server.listen();
  return {
    server,
    env: { RETAKE_TARGET: `127.0.0.1:${server.grpc?.port}` },
    [Symbol.asyncDispose]: () => server.close({ drainTimeoutMs: 0 }),
  };
}
