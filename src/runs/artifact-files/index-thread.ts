import { Worker } from "node:worker_threads";
import type { ArtifactIndex } from "./artifact-index.ts";
import type { IndexMethod, IndexReply, IndexRequest } from "./index-messages.ts";

/** Under `src` this file is TypeScript, under `dist` JavaScript; the compiler leaves URLs alone. */
const workerUrl = new URL(`./index-worker${import.meta.url.slice(import.meta.url.lastIndexOf("."))}`, import.meta.url);

interface Waiting {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

/**
 * The index in a thread of its own, because each change of it waits for the disk. It is started when first needed, and
 * keeps the process alive only while it works.
 */
export class IndexThread {
  readonly #path: string;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #lastNumber = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Calls a method of the index; what it resolves to is durable.
   *
   * @throws an error of SQLite with its `errcode`, or whatever ended the thread
   */
  call<M extends IndexMethod>(method: M, ...args: Parameters<ArtifactIndex[M]>): Promise<ReturnType<ArtifactIndex[M]>> {
    const worker = this.#start();
    const request: IndexRequest = { number: ++this.#lastNumber, method, args };
    return new Promise((resolve, reject) => {
      this.#waiting.set(request.number, { resolve, reject });
      worker.ref();
      worker.postMessage(request);
    });
  }

  /** Closes the database; resolves when the thread has ended. */
  async close(): Promise<void> {
    const worker = this.#worker;
    if (worker !== undefined) {
      const ended = new Promise((resolve) => worker.once("exit", resolve));
      worker.ref();
      worker.postMessage("close");
      await ended;
    }
  }

  #start(): Worker {
    if (this.#worker !== undefined) {
      return this.#worker;
    }
    const worker = new Worker(workerUrl, {
      name: "retake-artifacts",
      workerData: { path: this.#path },
      // Options of the process are not meant for it, and some a worker cannot take.
      execArgv: [],
    });
    worker.on("message", (reply: IndexReply) => this.#answer(worker, reply));
    worker.on("error", (error) => this.#lose(worker, error instanceof Error ? error : new Error(String(error))));
    worker.on("exit", (code) => this.#lose(worker, new Error(`the thread of the index has ended with code ${code}`)));
    worker.unref();
    this.#worker = worker;
    return worker;
  }

  #answer(worker: Worker, { number, result, failure }: IndexReply): void {
    const waiting = this.#waiting.get(number);
    this.#waiting.delete(number);
    if (this.#waiting.size === 0) {
      worker.unref();
    }
    if (failure === undefined) {
      waiting?.resolve(result as never);
    } else {
      const { message, errcode } = failure;
      waiting?.reject(Object.assign(new Error(message), errcode === undefined ? {} : { errcode }));
    }
  }

  /** The next call starts another thread. */
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
