import { type ChildProcess, fork } from "node:child_process";
import type { ManyOrder, ManyReady, ManyWish, MemoryUse } from "./server-messages.ts";

/** A server of this group in a process of its own. */
export class ManyProcess implements AsyncDisposable {
  readonly port: number;
  readonly webPort: number;
  readonly listenMs: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, { port, webPort, listenMs }: ManyReady) {
    this.#child = child;
    this.port = port;
    this.webPort = webPort;
    this.listenMs = listenMs;
  }

  /**
   * @param options what Node is started with
   * @throws Error when it does not start; what it says itself goes to standard error
   */
  static async start(order: ManyOrder, signal: AbortSignal, options: readonly string[] = []): Promise<ManyProcess> {
    signal.throwIfAborted();
    const child = fork(new URL("./server.ts", import.meta.url), [JSON.stringify(order)], {
      // Its memory is asked for after everything that is not needed has gone.
      execArgv: ["--expose-gc", ...options],
      stdio: ["ignore", process.stderr, process.stderr, "ipc"],
    });
    try {
      const ready = (await nextMessage(child, signal)) as ManyReady;
      return new ManyProcess(child, ready);
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    }
  }

  async memory(signal: AbortSignal): Promise<MemoryUse> {
    return (await this.ask({ kind: "memory" }, signal)) as MemoryUse;
  }

  async ask(wish: ManyWish, signal: AbortSignal): Promise<unknown> {
    const answer = nextMessage(this.#child, signal);
    this.#child.send(wish);
    return await answer;
  }

  /** Ends it as a power failure would. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = new Promise((resolve) => this.#child.once("exit", resolve));
      this.#child.kill("SIGKILL");
      await exited;
    }
  }
}

function nextMessage(child: ChildProcess, signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      child.off("message", onMessage);
      child.off("exit", onExit);
      signal.removeEventListener("abort", onAbort);
    };
    const onMessage = (message: unknown): void => {
      settle();
      resolve(message);
    };
    const onExit = (code: number | null, ending: string | null): void => {
      settle();
      reject(new Error(`a server has ended (${ending ?? `exit code ${code}`})`));
    };
    const onAbort = (): void => {
      settle();
      reject(signal.reason);
    };
    child.once("message", onMessage);
    child.once("exit", onExit);
    signal.addEventListener("abort", onAbort);
  });
}
