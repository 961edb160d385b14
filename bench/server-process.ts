import { type ChildProcess, fork } from "node:child_process";
import { createCallTemplates } from "./grpc-request.ts";
import { LoadConnection } from "./load-connection.ts";
import { requestOf } from "./requests.ts";
import type { ServerOrder, ServerReady, ServerUsage, ServerWish } from "./server-messages.ts";
import type { Subject } from "./subjects.ts";

/** As several clients share a server. */
const connectionCount = 4;

/** A server in a process of its own, with connections to it. */
export class ServerProcess {
  readonly subject: Subject;
  readonly connections: readonly LoadConnection[];
  readonly #process: ChildProcess;

  private constructor(subject: Subject, process: ChildProcess, connections: readonly LoadConnection[]) {
    this.subject = subject;
    this.#process = process;
    this.connections = connections;
  }

  /** @throws Error when the server does not start; what it says itself goes to standard error */
  static async start(order: ServerOrder): Promise<ServerProcess> {
    // What it writes must not get into the table.
    const child = fork(new URL("./server.ts", import.meta.url), [JSON.stringify(order)], {
      stdio: ["ignore", process.stderr, process.stderr, "ipc"],
    });
    try {
      const { port, headers } = (await nextMessage(child, order.subject)) as ServerReady;
      const { path, message } = requestOf(order.subject);
      const templates = createCallTemplates(path, message, headers);
      const connections: LoadConnection[] = [];
      for (let count = 0; count < connectionCount; count++) {
        connections.push(await LoadConnection.connect(port, templates));
      }
      return new ServerProcess(order.subject, child, connections);
    } catch (error) {
      child.kill();
      throw error;
    }
  }

  /** What the server took since this was last asked. */
  async usage(): Promise<ServerUsage> {
    const answer = nextMessage(this.#process, this.subject);
    this.#process.send("usage" satisfies ServerWish);
    return (await answer) as ServerUsage;
  }

  /** Ends the process, by force when it does not end by itself. */
  async close(): Promise<void> {
    for (const connection of this.connections) {
      connection.close();
    }
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) {
      return;
    }
    const exited = new Promise<void>((resolve) => this.#process.once("exit", () => resolve()));
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), 10_000);
    if (this.#process.connected) {
      this.#process.send("close" satisfies ServerWish);
    }
    await exited;
    clearTimeout(timer);
  }
}

function nextMessage(child: ChildProcess, subject: Subject): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: unknown): void => {
      child.off("exit", onExit);
      resolve(message);
    };
    const onExit = (code: number | null, signal: string | null): void => {
      child.off("message", onMessage);
      reject(new Error(`the server ${subject} has ended (${signal ?? `exit code ${code}`})`));
    };
    child.once("message", onMessage);
    child.once("exit", onExit);
  });
}
