import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { CliError } from "../../../src/cli/cli-error.ts";
import { ExitCode } from "../../../src/cli/exit-code.ts";

const script = fileURLToPath(new URL("../engine.ts", import.meta.url));

/** An engine in a process of its own, which can be killed and started again where it was. */
export class EngineProcess {
  readonly #retakeTarget: string;
  #port = 0;
  #process: ChildProcess | undefined;

  /** @param retakeTarget the server that its films are left with */
  constructor(retakeTarget: string) {
    this.#retakeTarget = retakeTarget;
  }

  get port(): number {
    return this.#port;
  }

  /**
   * Starts it, or another one in its place, with memory for frames of so many pixels. Resolves when it takes calls.
   *
   * @throws CliError when it cannot be started
   */
  async start({ mostPixels = Number.POSITIVE_INFINITY } = {}): Promise<void> {
    await this.kill();
    const args = [String(this.#port), this.#retakeTarget, String(mostPixels)];
    const child = spawn(process.execPath, [...process.execArgv, script, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#process = child;
    const ended = once(child, "close").then(() => {
      throw new CliError("the engine has ended before it took calls", ExitCode.refused);
    });
    const [line] = (await Promise.race([once(child.stdout, "data"), ended])) as [Buffer];
    ended.catch(() => {});
    this.#port = Number(line.toString());
  }

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child?.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "close");
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}
