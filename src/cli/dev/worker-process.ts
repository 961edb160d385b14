import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ownModule } from "../../own-files.ts";
import type { CliIo } from "../io.ts";
import type { WorkerCommand, WorkerOrder, WorkerReport } from "./worker-messages.ts";

/** Why a worker does not serve. */
export interface WorkerFailure {
  readonly name: string;
  readonly message: string;
  /** With everything that it wrote before it ended. */
  readonly stack: string;
}

export type Listening = Extract<WorkerReport, { kind: "listening" }>;

/** Who hears what happens while a worker serves. */
export interface WorkerEvents {
  onLog(report: Extract<WorkerReport, { kind: "log" }>): void;
  /** It has ended without being told to. */
  onLost(code: number | null, signal: NodeJS.Signals | null): void;
}

/** A process whose handlers are loaded. */
export interface Worker {
  /** Lets it take the ports and the data, which nobody else may hold then. */
  listen(): Promise<Listening | { readonly kind: "failed"; readonly failure: WorkerFailure }>;
  /** Hands its runs back, and resolves when it is gone. */
  stop(): Promise<void>;
}

const script = fileURLToPath(ownModule("cli/dev/worker"));

/** A handler that does not let go must not keep the next one from starting. */
const killAfterMs = 15_000;

/** Starts a process for a project. It does not serve yet. */
export async function startWorker(
  order: WorkerOrder,
  events: WorkerEvents,
  io: CliIo,
): Promise<Worker | { readonly kind: "failed"; readonly failure: WorkerFailure }> {
  const child = fork(script, [JSON.stringify(order)], {
    cwd: order.directory,
    env: io.env as NodeJS.ProcessEnv,
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  const state = new WorkerState(child, events, io);
  const first = await state.report("ready");
  if (first.kind === "failed") return first;
  return {
    async listen() {
      state.send({ kind: "listen" });
      return state.report("listening");
    },
    async stop() {
      await state.stop();
    },
  };
}

type Awaited = Extract<WorkerReport, { kind: "ready" | "listening" }>;

class WorkerState {
  readonly #child: ChildProcess;
  readonly #events: WorkerEvents;
  readonly #io: CliIo;
  readonly #ended = Promise.withResolvers<void>();
  #told = "";
  #failure: WorkerFailure | undefined;
  #listens = false;
  #stopping = false;
  #waiting: ((outcome: Awaited | "ended") => void) | undefined;

  constructor(child: ChildProcess, events: WorkerEvents, io: CliIo) {
    this.#child = child;
    this.#events = events;
    this.#io = io;
    child.stdout?.setEncoding("utf8").on("data", (text: string) => io.stdout.write(text));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => this.#heard(text));
    child.on("message", (report: WorkerReport) => this.#reported(report));
    child.on("error", (error) => {
      this.#failure ??= { name: error.name, message: error.message, stack: error.stack ?? "" };
      this.#gone(null, null);
    });
    child.on("close", (code, signal) => this.#gone(code, signal));
  }

  send(command: WorkerCommand): void {
    if (this.#child.connected) this.#child.send(command);
  }

  /** Waits for a report, or for the end. */
  async report<Kind extends Awaited["kind"]>(
    kind: Kind,
  ): Promise<Extract<Awaited, { kind: Kind }> | { readonly kind: "failed"; readonly failure: WorkerFailure }> {
    const outcome = await new Promise<Awaited | "ended">((resolve) => {
      this.#waiting = resolve;
      void this.#ended.promise.then(() => resolve("ended"));
    });
    if (outcome !== "ended" && outcome.kind === kind) return outcome as Extract<Awaited, { kind: Kind }>;
    await this.#ended.promise;
    const { name, message, stack } = this.#failure ?? {
      name: "Error",
      message: "the process that loads the handlers has ended",
      stack: "",
    };
    return { kind: "failed", failure: { name, message, stack: `${this.#told}\n${stack}`.trim() } };
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.send({ kind: "stop" });
    const timer = this.#io.clock.setTimeout(() => this.#child.kill("SIGKILL"), killAfterMs);
    await this.#ended.promise;
    timer.cancel();
  }

  /** What is written before it serves is about its failure, and told with that. */
  #heard(text: string): void {
    if (this.#listens) this.#io.stderr.write(text);
    else this.#told += text;
  }

  #reported(report: WorkerReport): void {
    switch (report.kind) {
      case "log":
        this.#events.onLog(report);
        return;
      case "broken":
        this.#failure = report;
        return;
      case "listening":
        this.#listens = true;
        if (this.#told !== "") this.#io.stderr.write(this.#told);
        this.#waiting?.(report);
        return;
      case "ready":
        this.#waiting?.(report);
    }
  }

  #gone(code: number | null, signal: NodeJS.Signals | null): void {
    this.#ended.resolve();
    this.#waiting?.("ended");
    if (this.#listens && !this.#stopping) {
      this.#stopping = true;
      this.#events.onLost(code, signal);
    }
  }
}
