import { spawn } from "node:child_process";
import { createInterface } from "node:readline/promises";
import { fileURLToPath } from "node:url";

/** What package.json calls `retake`, in dist/. */
const program = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const handlers = fileURLToPath(new URL("./started-workflows.mjs", import.meta.url));

export interface ServedProgram {
  readonly directory: string;
  /** Where Node keeps compiled modules for the next start. Default: nowhere. */
  readonly cacheDirectory?: string;
  readonly web: boolean;
}

/**
 * Starts `retake serve` as an installed package has it, and ends it when it has said where it listens. Answers how long
 * that took from the start of the process.
 *
 * @throws Error when it ends without that; what it says about it goes to standard error
 */
export function timeServe({ directory, cacheDirectory, web }: ServedProgram, signal: AbortSignal): Promise<number> {
  const args = ["serve", "--json", "--data", directory, "--grpc-port", "0", "--web-port", web ? "0" : "off"];
  const { NODE_COMPILE_CACHE: _, ...env } = process.env;
  const cache = cacheDirectory === undefined ? { NODE_DISABLE_COMPILE_CACHE: "1" } : { XDG_CACHE_HOME: cacheDirectory };
  return timeUntil([program, ...args, "--handlers", handlers], (line) => line.includes('"grpc":{'), {
    env: { ...env, ...cache },
    signal,
  });
}

/** How long Node itself takes to say something. */
export function timeNode(signal: AbortSignal): Promise<number> {
  return timeUntil(["--eval", 'console.log("started")'], () => true, { env: process.env, signal });
}

async function timeUntil(
  args: readonly string[],
  isReady: (line: string) => boolean,
  { env, signal }: { readonly env: NodeJS.ProcessEnv; readonly signal: AbortSignal },
): Promise<number> {
  signal.throwIfAborted();
  const startMs = performance.now();
  const child = spawn(process.execPath, args, {
    env,
    stdio: ["ignore", "pipe", process.stderr],
    signal,
    killSignal: "SIGKILL",
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  // Its end is waited for below, also when it is the signal's doing.
  child.on("error", () => undefined);
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      if (isReady(line)) return performance.now() - startMs;
    }
    signal.throwIfAborted();
    throw new Error(`node ${args.join(" ")} has ended without being ready`);
  } finally {
    child.kill("SIGTERM");
    await ended;
  }
}
