import { Worker } from "node:worker_threads";
import type { AuditMethod, AuditThreadData, AuditThreadReply, AuditThreadRequest } from "./audit-messages.ts";
import type { AuditPage, AuditQuery, AuditSlice } from "./audit-query.ts";
import type { Appended, AuditStore, TallySlice } from "./audit-store.ts";

/** Under `src` this file is TypeScript, under `dist` JavaScript; the compiler leaves URLs alone. */
const workerUrl = new URL(`./audit-worker${import.meta.url.slice(import.meta.url.lastIndexOf("."))}`, import.meta.url);

interface Waiting {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

/**
 * An audit log in files, on a thread of its own: chaining, writing and syncing take several times what recording may cost.
 * It is started when first needed, and keeps the process alive only while it works.
 */
export class AuditThread implements AuditStore {
  readonly #data: AuditThreadData;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #lastNumber = 0;

  constructor(data: AuditThreadData) {
    this.#data = data;
  }

  append(batch: string, nowMs: number): Promise<Appended> {
    return this.#call("append", batch, nowMs);
  }

  search(query: AuditQuery, page: AuditPage): Promise<AuditSlice> {
    return this.#call("search", query, page);
  }

  tally(sinceMs: number, untilMs: number, from?: number): Promise<TallySlice> {
    return this.#call("tally", sinceMs, untilMs, from);
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    if (worker !== undefined) {
      const ended = new Promise((resolve) => worker.once("exit", resolve));
      worker.ref();
      this.#post(worker, "close");
      await ended;
    }
  }

  #call<Result>(method: AuditMethod, ...args: readonly unknown[]): Promise<Result> {
    const worker = this.#start();
    const number = ++this.#lastNumber;
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      worker.ref();
      this.#post(worker, { number, method, args });
    });
  }

  #post(worker: Worker, request: AuditThreadRequest): void {
    worker.postMessage(request);
  }

  #start(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = new Worker(workerUrl, {
      name: "retake-audit",
      workerData: this.#data,
      // Options of the process are not meant for it, and some a worker cannot take.
      execArgv: [],
    });
    worker.on("message", (reply: AuditThreadReply) => this.#answer(worker, reply));
    worker.on("error", (error) => this.#lose(worker, error instanceof Error ? error : new Error(String(error))));
    worker.on("exit", (code) => this.#lose(worker, new Error(`the thread of the log has ended with code ${code}`)));
    worker.unref();
    this.#worker = worker;
    return worker;
  }

  #answer(worker: Worker, { number, result, failure }: AuditThreadReply): void {
    const waiting = this.#waiting.get(number);
    this.#waiting.delete(number);
    if (this.#waiting.size === 0) worker.unref();
    if (failure === undefined) waiting?.resolve(result as never);
    else waiting?.reject(new Error(failure));
  }

  /** The next call starts another thread, which finds out how far this one came. */
  #lose(worker: Worker, error: Error): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(error);
  }
}
