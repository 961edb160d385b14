import type { Journal, JournalStatus } from "../../ports/journal.ts";
import type { Payloads } from "../../ports/payloads.ts";
import { type Failure, toFailure } from "./failures.ts";
import {
  type RequestMethod,
  type StatusMessage,
  type StorageChannel,
  type StorageReply,
  type StorageRequest,
  transferable,
} from "./messages.ts";
import { readOrders } from "./orders.ts";

/** What is served: a storage, and how it ends. */
export interface HostedStorage {
  readonly journal: Journal;
  readonly payloads: Payloads;
  close(): Promise<void>;
  /** After `close`: the storage must stay as it is until the process ends. */
  readonly abandoned: boolean;
}

type Channel = StorageChannel<StorageReply, StorageRequest>;

/**
 * Serves a storage to the other end of a channel. What comes in order is ordered in that order, and each answer goes out
 * in the order in which the storage gives it.
 */
export function hostStorage(storage: HostedStorage, channel: Channel): void {
  const orders = new Orders(storage, channel);
  const methods = createMethods(storage);
  storage.journal.onStatus((status) => channel.post({ kind: "status", status: statusMessage(status) }));
  channel.onMessage((request) => {
    if (request.kind === "orders") {
      orders.take(request.bytes, request.count);
      return;
    }
    const { id } = request;
    methods[request.method](request.args).then(
      (value) => {
        orders.tell();
        channel.post({ kind: "reply", id, value }, value instanceof Uint8Array ? transferable(value) : []);
      },
      (error: unknown) => {
        orders.tell();
        channel.post({ kind: "reply", id, failure: toFailure(error) });
      },
    );
  });
}

type Method = (args: readonly unknown[]) => Promise<unknown>;

function createMethods(storage: HostedStorage): Record<RequestMethod, Method> {
  const { journal, payloads } = storage;
  return {
    read: (args) => journal.read(...(args as Parameters<Journal["read"]>)),
    listStreams: (args) => journal.listStreams(...(args as Parameters<Journal["listStreams"]>)),
    listRuns: (args) => journal.listRuns(...(args as Parameters<Journal["listRuns"]>)),
    findRunByKey: (args) => journal.findRunByKey(...(args as Parameters<Journal["findRunByKey"]>)),
    listRetired: (args) => journal.listRetired(...(args as Parameters<Journal["listRetired"]>)),
    countEnded: () => journal.countEnded(),
    listEnded: (args) => journal.listEnded(...(args as Parameters<Journal["listEnded"]>)),
    deleteStreams: (args) => journal.deleteStreams(...(args as Parameters<Journal["deleteStreams"]>)),
    putLarge: async (args) => payloads.put(...(args as Parameters<Payloads["put"]>)).stored,
    getPayload: (args) => payloads.get(...(args as Parameters<Payloads["get"]>)),
    deletePayloads: (args) => payloads.deleteRuns(...(args as Parameters<Payloads["deleteRuns"]>)),
    close: async () => {
      await storage.close();
      return storage.abandoned;
    },
  };
}

/** Carries out orders and tells, once for all that the storage settles together, how far it is. */
class Orders {
  readonly #storage: HostedStorage;
  readonly #channel: Channel;
  /** Appends up to now, and the number of the first that is not durable, counted from 0. */
  #taken = 0;
  #before = 0;
  #failed: [number, Failure][] = [];
  #due = false;

  constructor(storage: HostedStorage, channel: Channel) {
    this.#storage = storage;
    this.#channel = channel;
  }

  take(block: Uint8Array, count: number): void {
    const { journal, payloads } = this.#storage;
    readOrders(block, count, {
      append: (appends, impatient) => {
        const number = this.#taken++;
        journal.order(
          appends,
          (failure) => {
            if (failure === undefined) {
              this.#before = number + 1;
            } else {
              this.#failed.push([number, toFailure(failure)]);
            }
            this.#tellSoon();
          },
          { impatient },
        );
      },
      // Durable with the append that refers to it, or without any effect.
      put: (runId, bytes) => payloads.put(runId, bytes),
    });
  }

  /** Tells what has been settled and not been told yet. */
  tell(): void {
    if (this.#due) {
      const failed = this.#failed;
      this.#due = false;
      this.#failed = [];
      this.#channel.post({ kind: "settled", before: this.#before, ...(failed.length === 0 ? {} : { failed }) });
    }
  }

  #tellSoon(): void {
    if (!this.#due) {
      this.#due = true;
      // After everything that is settled in this moment.
      queueMicrotask(() => this.tell());
    }
  }
}

function statusMessage(status: JournalStatus): StatusMessage {
  return status.kind === "available" ? status : { ...status, cause: toFailure(status.cause) };
}
