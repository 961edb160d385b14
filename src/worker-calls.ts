import { Worker } from "node:worker_threads";

/** What a thread is asked to do: a method by its name, with its arguments; or to end. */
export type WorkerRequest = { readonly number: number; readonly method: string; readonly args: readonly unknown[] };

export interface WorkerReply {
  readonly number: number;
  readonly result?: unknown;
  readonly failure?: WorkerFailure;
}

/** An error's own class and fields do not pass between threads. */
export interface WorkerFailure {
  readonly message: string;
  /** SQLite's extended result code, if it is an error of SQLite. */
  readonly errcode?: number;
}

/** An error as it passes between threads. */
export function workerFailure(error: unknown): WorkerFailure {
  const { errcode } = error as { errcode?: unknown };
  return {
    message: error instanceof Error ? error.message : String(error),
    ...(typeof errcode === "number" ? { errcode } : {}),
  };
}

/** The methods of an object that lives in another thread. */
// biome-ignore lint/suspicious/noExplicitAny: any method may be called, and its own types hold
export type Callable<T> = { [Name in keyof T as T[Name] extends (...args: any[]) => unknown ? Name : never]: T[Name] };

interface Waiting {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

export interface WorkerCallsOptions {
  readonly url: URL;
  /** As the thread is called in tools. */
  readonly name: string;
  readonly data: unknown;
}

/**
 * Calls methods in a thread of its own, for work that waits for the disk. The thread is started when first needed, keeps
 * the process alive only while it works, and is replaced at the next call when it ends.
 */
export class WorkerCalls<T> {
  readonly #options: WorkerCallsOptions;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  /** Somebody waits for its end. */
  #closing = false;
  #lastNumber = 0;

  constructor(options: WorkerCallsOptions) {
    this.#options = options;
  }

  /** @throws an error of SQLite with its `errcode`, or whatever ended the thread */
  call<M extends keyof Callable<T> & string>(
    method: M,
    // biome-ignore lint/suspicious/noExplicitAny: as above
    ...args: T[M] extends (...args: any[]) => unknown ? Parameters<T[M]> : never
    // biome-ignore lint/suspicious/noExplicitAny: as above
  ): Promise<T[M] extends (...args: any[]) => unknown ? ReturnType<T[M]> : never> {
    const worker = this.#start();
    const request: WorkerRequest = { number: ++this.#lastNumber, method, args };
    return new Promise((resolve, reject) => {
      this.#waiting.set(request.number, { resolve, reject });
      worker.ref();
      worker.postMessage(request);
    });
  }

  /** Tells the thread to end; resolves when it has. */
  async close(): Promise<void> {
    const worker = this.#worker;
    if (worker !== undefined) {
      this.#closing = true;
      const ended = new Promise((resolve) => worker.once("exit", resolve));
      worker.ref();
      worker.postMessage("close");
      await ended;
      this.#closing = false;
    }
  }

  #start(): Worker {
    if (this.#worker !== undefined) {
      return this.#worker;
    }
    const { url, name, data } = this.#options;
    // Options of the process are not meant for it, and some a worker cannot take.
    const worker = new Worker(url, { name, workerData: data, execArgv: [] });
    worker.on("message", (reply: WorkerReply) => this.#answer(worker, reply));
    worker.on("error", (error) => this.#lose(worker, error instanceof Error ? error : new Error(String(error))));
    worker.on("exit", (code) => this.#lose(worker, new Error(`the thread ${name} has ended with code ${code}`)));
    worker.unref();
    this.#worker = worker;
    return worker;
  }

  #answer(worker: Worker, { number, result, failure }: WorkerReply): void {
    const waiting = this.#waiting.get(number);
    this.#waiting.delete(number);
    if (this.#waiting.size === 0 && !this.#closing) {
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
