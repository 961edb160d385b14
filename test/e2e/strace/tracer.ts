import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** Everything by which a server can write, sync or send. */
const observed = ["fdatasync", "fsync", "pwrite64", "write", "writev", "sendto", "sendmsg"].join(",");

/**
 * A command line that runs another one under strace and writes what happens to a file. Each sync takes 20 ms longer: what
 * does not wait for it then surely comes before its end.
 */
export function tracingLauncher(strace: string, output: string): string[] {
  const slowSyncs = ["-e", "inject=fdatasync,fsync:delay_enter=20000"];
  return [strace, "-f", "-yy", "-s", "10000000", "-e", `trace=${observed}`, ...slowSyncs, "-o", output];
}

/** Calls of a process that fail from now on, until this is disposed of. */
export interface Fault extends AsyncDisposable {
  /** Ends it: calls succeed again. Ending it twice does nothing. */
  end(): Promise<void>;
}

/**
 * Lets system calls of a running process fail, in all of its threads, from when this resolves.
 *
 * @param rule what strace injects: "fdatasync,fsync:error=EIO"
 * @throws Error when strace may not attach to the process
 */
export async function injectFault(strace: string, pid: number, rule: string): Promise<Fault> {
  const tracer = spawn(strace, ["-f", "-p", String(pid), "-e", `inject=${rule}`, "-o", "/dev/null"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = once(tracer, "close");
  const said: string[] = [];
  const attached = new Promise<void>((resolve, reject) => {
    createInterface({ input: tracer.stderr }).on("line", (line) => {
      said.push(line);
      if (/Process \d+ attached/.test(line)) {
        resolve();
      }
    });
    void ended.then(() => reject(new Error(`strace could not attach to the server: ${said.join("; ")}`)));
  });
  await attached;
  const end = async (): Promise<void> => {
    // It lets go of the process, which goes on.
    tracer.kill("SIGINT");
    await ended;
  };
  return { end, [Symbol.asyncDispose]: end };
}
