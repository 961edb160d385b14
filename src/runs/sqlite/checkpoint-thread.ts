import { Worker } from "node:worker_threads";
import { ownModule } from "../../own-files.ts";
import type {
  CheckpointCommand,
  CheckpointFailure,
  CheckpointReply,
  CheckpointRequest,
} from "./checkpoint-messages.ts";
import { LogLostError } from "./rewrite-log.ts";

interface Waiting {
  readonly resolve: (busy: boolean) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A thread with a connection of its own, because a checkpoint copies megabytes and waits for the disk. It is started when
 * first needed, and keeps the process alive only while it works.
 */
export class CheckpointThread {
  readonly #path: string;
  readonly #directory: string;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #lastNumber = 0;

  constructor(path: string, directory: string) {
    this.#path = path;
    this.#directory = directory;
  }

  /**
   * Resolves whether something else kept the command from coming to an end.
   *
   * @throws LogLostError, an error of SQLite with its `errcode`, or whatever ended the thread
   */
  run(command: CheckpointCommand): Promise<boolean> {
    if (command === "close" && this.#worker === undefined) {
      return Promise.resolve(false);
    }
    const worker = this.#start();
    const request: CheckpointRequest = { number: ++this.#lastNumber, command };
    return new Promise((resolve, reject) => {
      this.#waiting.set(request.number, { resolve, reject });
      worker.ref();
      worker.postMessage(request);
    });
  }

  async terminate(): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): Worker {
    if (this.#worker !== undefined) {
      return this.#worker;
    }
    const worker = new Worker(ownModule("runs/sqlite/checkpoint-worker"), {
      name: "retake-checkpoints",
      workerData: { path: this.#path, directory: this.#directory },
      // Options of the process are not meant for it, and some a worker cannot take.
      execArgv: [],
    });
    worker.on("message", (reply: CheckpointReply) => this.#answer(worker, reply));
    worker.on("error", (error) => this.#lose(worker, error instanceof Error ? error : new Error(String(error))));
    worker.on("exit", (code) => this.#lose(worker, new Error(`the checkpoint thread has ended with code ${code}`)));
    worker.unref();
    this.#worker = worker;
    return worker;
  }

  #answer(worker: Worker, { number, busy, failure }: CheckpointReply): void {
    const waiting = this.#waiting.get(number);
    this.#waiting.delete(number);
    if (this.#waiting.size === 0) {
      worker.unref();
    }
    if (failure === undefined) {
      waiting?.resolve(busy);
    } else {
      waiting?.reject(toError(failure));
    }
  }

  /** The next command starts another thread. */
  #lose(worker: Worker, error: Error): void {
    if (this.#worker !== worker) {
      return;
    }
    this.#worker = undefined;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) {
      reject(error);
    }
  }
}

function toError({ message, errcode, lost }: CheckpointFailure): Error {
  return lost ? new LogLostError(message) : Object.assign(new Error(message), errcode === undefined ? {} : { errcode });
}
