import type { Clock } from "../../../clock.ts";
import {
  type AppendOptions,
  type EndedCount,
  type EndedFilter,
  type EndedRun,
  type Journal,
  type JournalRecord,
  type JournalStatus,
  JournalUnavailableError,
  type RunFilter,
  type RunIndexRow,
  type RunOwner,
  type RunPage,
  type Settled,
  type StreamAppend,
} from "../../ports/journal.ts";
import { type Payloads, type PutOptions, payloadDigest, type StoredPayload } from "../../ports/payloads.ts";
import { appendPromise } from "../../storage/append-promise.ts";
import { checkAppends } from "../../storage/check-appends.ts";
import { StorageHealth } from "../../storage/storage-health.ts";
import { mostBytesInTable } from "../payload-limits.ts";
import { fromFailure } from "./failures.ts";
import type { RequestMethod, StorageChannel, StorageReply, StorageRequest } from "./messages.ts";
import { OrderWriter } from "./orders.ts";

/** The end of a channel at which a storage is used. */
export interface ClientChannel extends StorageChannel<StorageRequest, StorageReply> {
  /** Something is being waited for, or nothing is any more. */
  busy(busy: boolean): void;
}

export interface StorageClientOptions {
  readonly channel: ClientChannel;
  readonly clock: Clock;
  /** What closing the journal means, where that is more than closing its client. */
  readonly close?: () => Promise<void>;
}

const part = "storage";

/** Orders that go over without waiting for the rest of the turn: the storage works on them meanwhile. */
const enough = 32;

/**
 * A storage at the other end of a channel. Orders that are given in one turn of the event loop go over together, as bytes,
 * and are settled together; everything else is a request with an answer of its own. All keep their order.
 */
export class StorageClient {
  readonly journal: Journal;
  readonly payloads: Payloads;
  readonly #channel: ClientChannel;
  readonly #clock: Clock;
  readonly #health = new StorageHealth();
  readonly #orders = new OrderWriter();
  #flushIsDue = false;
  /** Appends that are not durable, oldest first; `undefined` for those that have failed. */
  #waiting: (Settled | undefined)[] = [];
  /** The number of the first of them, counted from 0. */
  #firstWaiting = 0;
  readonly #requests = new Map<number, Waiting>();
  #lastRequest = 0;
  #busy = false;
  #closing: Promise<boolean> | undefined;
  /** Why nothing is taken any more. */
  #ended: JournalUnavailableError | undefined;

  constructor({ channel, clock, close }: StorageClientOptions) {
    this.#channel = channel;
    this.#clock = clock;
    this.journal = new ClientJournal(this, this.#health, close ?? (async () => void (await this.close())));
    this.payloads = new ClientPayloads(this);
    channel.onMessage((reply) => this.#receive(reply));
  }

  order(appends: readonly StreamAppend[], settled: Settled, impatient: boolean): void {
    checkAppends(appends);
    if (this.#ended !== undefined) {
      settled(this.#ended);
      return;
    }
    this.#orders.append(appends, impatient);
    this.#waiting.push(settled);
    this.#flushSoon();
  }

  put(runId: string, bytes: Uint8Array): void {
    if (this.#ended === undefined) {
      this.#orders.put(runId, bytes);
      this.#flushSoon();
    }
  }

  request<Answer>(
    method: RequestMethod,
    args: readonly unknown[],
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<Answer> {
    if (this.#ended !== undefined) {
      return Promise.reject(this.#ended);
    }
    this.#flush();
    const id = ++this.#lastRequest;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#requests.set(id, { resolve, reject });
    this.#channel.post({ kind: "request", id, method, args }, transfer);
    this.#tellBusy();
    return promise as Promise<Answer>;
  }

  /** Whether every append is durable or has failed. */
  get quiet(): boolean {
    return this.#waiting.length === 0 && this.#ended === undefined;
  }

  /** Finishes what can be finished. Resolves whether the storage must stay as it is until the process ends. */
  close(): Promise<boolean> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** The other end is gone: nothing will be settled any more. */
  lose(error: Error): void {
    const lost = new JournalUnavailableError(
      `the thread of the journal has ended (${error.message}): restart the server, which goes on from what is durable`,
      { cause: error },
    );
    this.#health.fail(part, lost, true);
    this.#end(lost);
  }

  async #close(): Promise<boolean> {
    const abandoned = await this.request<boolean>("close", []);
    const { status } = this.#health;
    this.#end(
      status.kind === "failing" && status.cause instanceof JournalUnavailableError
        ? status.cause
        : new JournalUnavailableError("the journal is closed: the server is stopping"),
    );
    return abandoned;
  }

  #end(error: JournalUnavailableError): void {
    this.#ended ??= error;
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    for (const settled of this.#waiting.splice(0)) {
      settled?.(error);
    }
    for (const request of requests) {
      request.reject(error);
    }
    this.#tellBusy();
  }

  #flushSoon(): void {
    if (this.#orders.count >= enough) {
      this.#flush();
      return;
    }
    if (!this.#flushIsDue) {
      this.#flushIsDue = true;
      this.#clock.setImmediate(() => {
        this.#flushIsDue = false;
        this.#flush();
      });
    }
  }

  #flush(): void {
    const { count } = this.#orders;
    if (count === 0 || this.#ended !== undefined) {
      return;
    }
    const bytes = this.#orders.take();
    this.#channel.post({ kind: "orders", bytes, count }, [bytes.buffer]);
    this.#tellBusy();
  }

  #receive(reply: StorageReply): void {
    if (this.#ended !== undefined) {
      return;
    }
    switch (reply.kind) {
      case "settled":
        this.#settle(reply);
        break;
      case "reply": {
        const request = this.#requests.get(reply.id);
        this.#requests.delete(reply.id);
        if (reply.failure === undefined) {
          request?.resolve(reply.value);
        } else {
          request?.reject(fromFailure(reply.failure));
        }
        break;
      }
      case "status":
        if (reply.status.kind === "available") {
          this.#health.heal(part);
        } else {
          this.#health.fail(part, fromFailure(reply.status.cause), reply.status.needsRestart);
        }
        break;
    }
    this.#tellBusy();
  }

  #settle({ before, failed }: Extract<StorageReply, { kind: "settled" }>): void {
    const failures = failed === undefined ? undefined : new Map(failed);
    const count = Math.max(0, before - this.#firstWaiting);
    const first = this.#firstWaiting;
    this.#firstWaiting += count;
    // In order, those that have failed too.
    this.#waiting.splice(0, count).forEach((settled, place) => {
      const failure = failures?.get(first + place);
      settled?.(failure === undefined ? undefined : fromFailure(failure));
    });
    // Given up out of order: others before them are still waited for.
    failures?.forEach((failure, number) => {
      const place = number - this.#firstWaiting;
      if (place >= 0 && place < this.#waiting.length) {
        this.#waiting[place]?.(fromFailure(failure));
        this.#waiting[place] = undefined;
      }
    });
    // What has failed last is not followed by anything that would be durable.
    while (this.#waiting.length > 0 && this.#waiting[0] === undefined) {
      this.#waiting.shift();
      this.#firstWaiting++;
    }
  }

  #tellBusy(): void {
    const busy = this.#requests.size > 0 || this.#waiting.length > 0;
    if (busy !== this.#busy) {
      this.#busy = busy;
      this.#channel.busy(busy);
    }
  }
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

class ClientJournal implements Journal {
  readonly #client: StorageClient;
  readonly #health: StorageHealth;
  readonly close: () => Promise<void>;

  constructor(client: StorageClient, health: StorageHealth, close: () => Promise<void>) {
    this.#client = client;
    this.#health = health;
    this.close = close;
  }

  get status(): JournalStatus {
    return this.#health.status;
  }

  onStatus(listener: (status: JournalStatus) => void): () => void {
    return this.#health.onStatus(listener);
  }

  append(appends: readonly StreamAppend[], options?: AppendOptions): Promise<void> {
    return appendPromise(this, appends, options);
  }

  order(appends: readonly StreamAppend[], settled: Settled, options?: AppendOptions): void {
    this.#client.order(appends, settled, options?.impatient === true);
  }

  read(stream: string, afterSequence: number, limit: number): Promise<readonly JournalRecord[]> {
    return this.#client.request("read", [stream, afterSequence, limit]);
  }

  listStreams(prefix: string, afterName: string, limit: number): Promise<readonly string[]> {
    return this.#client.request("listStreams", [prefix, afterName, limit]);
  }

  listRuns(filter: RunFilter, page: RunPage): Promise<readonly RunIndexRow[]> {
    return this.#client.request("listRuns", [filter, page]);
  }

  findRunByKey(owner: RunOwner, workflow: string, key: string): Promise<RunIndexRow | undefined> {
    return this.#client.request("findRunByKey", [owner, workflow, key]);
  }

  listRetired(beforeMs: number, limit: number): Promise<readonly string[]> {
    return this.#client.request("listRetired", [beforeMs, limit]);
  }

  countEnded(): Promise<readonly EndedCount[]> {
    return this.#client.request("countEnded", []);
  }

  listEnded(filter: EndedFilter, afterPosition: number, limit: number): Promise<readonly EndedRun[]> {
    return this.#client.request("listEnded", [filter, afterPosition, limit]);
  }

  deleteStreams(streams: readonly string[]): Promise<void> {
    return this.#client.request("deleteStreams", [streams]);
  }

  flush(): Promise<void> {
    // An append of nothing is settled in its turn.
    return this.#client.quiet ? Promise.resolve() : this.append([]);
  }
}

class ClientPayloads implements Payloads {
  readonly #client: StorageClient;

  constructor(client: StorageClient) {
    this.#client = client;
  }

  put(runId: string, bytes: Uint8Array, options?: PutOptions): StoredPayload {
    const sha256 = payloadDigest(bytes);
    if (bytes.length === 0) {
      return { sha256 };
    }
    if (bytes.length <= mostBytesInTable) {
      this.#client.put(runId, bytes);
      return { sha256 };
    }
    const copy = new Uint8Array(bytes);
    return { sha256, stored: this.#client.request("putLarge", [runId, copy, options], [copy.buffer]) };
  }

  get(runId: string, sha256: Uint8Array): Promise<Uint8Array | undefined> {
    return sha256.length === 0
      ? Promise.resolve(new Uint8Array())
      : this.#client.request("getPayload", [runId, new Uint8Array(sha256)]);
  }

  deleteRuns(runIds: readonly string[]): Promise<void> {
    return this.#client.request("deletePayloads", [runIds]);
  }
}
