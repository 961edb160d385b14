import { type ChildProcess, fork } from "node:child_process";
import type { Load, Measured } from "./jobs.ts";

interface Answer {
  readonly measured?: Measured;
  readonly failure?: string;
}

/** The app of a product, in a process of its own. */
export class AppProcess implements AsyncDisposable {
  readonly #child: ChildProcess;

  /** The end of what it has said: of interest if it fails. */
  #said = "";

  private constructor(child: ChildProcess) {
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk) => {
        this.#said = `${this.#said}${chunk}`.slice(-4000);
      });
    }
  }

  /** @throws Error when it does not start */
  static async start(
    module: string,
    settings: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<AppProcess> {
    const child = fork(new URL("./app.ts", import.meta.url), [module, JSON.stringify(settings)], {
      env: { ...process.env, NODE_ENV: "production" },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    const app = new AppProcess(child);
    try {
      await app.#answer(signal);
      return app;
    } catch (error) {
      await app[Symbol.asyncDispose]();
      throw error;
    }
  }

  async put(load: Load, signal: AbortSignal): Promise<Measured> {
    const answered = this.#answer(signal);
    this.#child.send(load);
    const { measured, failure } = await answered;
    if (measured === undefined) throw new Error(failure ?? "the app has measured nothing");
    return measured;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = new Promise((resolve) => this.#child.once("exit", resolve));
      this.#child.kill("SIGKILL");
      await exited;
    }
  }

  #answer(signal: AbortSignal): Promise<Answer> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const onMessage = (message: unknown): void => resolve(message as Answer);
    const onExit = (code: number | null, by: string | null): void =>
      reject(new Error(`its app has ended (${by ?? `exit code ${code}`}):\n${this.#said}`));
    const onAbort = (): void => reject(signal.reason);
    this.#child.once("message", onMessage).once("exit", onExit);
    signal.addEventListener("abort", onAbort);
    return promise.finally(() => {
      this.#child.off("message", onMessage).off("exit", onExit);
      signal.removeEventListener("abort", onAbort);
    });
  }
}
