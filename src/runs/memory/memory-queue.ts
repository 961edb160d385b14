import type { Clock, Timer } from "../../clock.ts";
import { JournalUnavailableError, journalClosed } from "../ports/journal.ts";
import { giveUpImpatient, type Operation } from "../storage/operation.ts";
import { retryDelayMs } from "../storage/retry-delay.ts";
import type { StorageHealth } from "../storage/storage-health.ts";

const part = "memory";

/** Rejects `durable` where the batch has been written, and only its sync has failed: it is not taken back. */
export class UnsyncedError extends Error {
  override readonly name = "UnsyncedError";
}

export interface MemoryQueueOptions {
  readonly clock: Clock;
  readonly health: StorageHealth;
  readonly durable: () => Promise<void>;
}

/** Carries out operations in order, in batches, each once `durable` has resolved: before that nobody can read of it. */
export class MemoryQueue {
  readonly #options: MemoryQueueOptions;
  #queue: Operation[] = [];
  /** How many of the queue, from its front, have been written and are not known to be durable. */
  #written = 0;
  #flushIsDue = false;
  /** The operations of which it is being found out whether they are durable. */
  #batch: readonly Operation[] = [];
  #cause: JournalUnavailableError | undefined;
  #retry: Timer | undefined;
  #failedTries = 0;
  /** From here on nothing new is ordered. */
  #closing = false;
  /** From here on nothing happens any more. */
  #closed = false;
  /** From here on nobody is told anything either. */
  #crashed = false;
  #changed: (() => void) | undefined;

  constructor(options: MemoryQueueOptions) {
    this.#options = options;
  }

  enqueue(operation: Operation): void {
    if (this.#crashed) {
      return;
    }
    if (this.#closing) {
      operation.settle(journalClosed());
      return;
    }
    this.#queue.push(operation);
    if (operation.impatient && this.#cause !== undefined) {
      this.#giveUpImpatient(this.#cause);
    }
    this.#schedule();
  }

  change(apply: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.enqueue({
        impatient: false,
        appends: [],
        apply,
        settle: (failure) => (failure === undefined ? resolve() : reject(failure)),
      });
    });
  }

  /** @throws JournalUnavailableError after `close` */
  async read<Value>(query: () => Value): Promise<Value> {
    if (this.#closed) {
      throw journalClosed();
    }
    return query();
  }

  /** Resolves when everything that was ordered before is durable or has failed. */
  flush(): Promise<void> {
    const pending = this.#queue.length > 0 || this.#batch.length > 0;
    return pending || this.#closing ? this.change(() => undefined) : Promise.resolve();
  }

  /** Takes payloads of runs back out of the queue, if they are still in it. */
  withdrawPayloads(runIds: ReadonlySet<string>): void {
    const written = this.#queue.splice(0, this.#written);
    const kept = this.#queue.filter(({ payloadOf }) => payloadOf === undefined || !runIds.has(payloadOf));
    this.#queue = [...written, ...kept];
  }

  async close(): Promise<void> {
    this.#closing = true;
    if (this.#cause !== undefined && this.#batch.length === 0) {
      this.#retry?.cancel();
      this.#flush();
    }
    while (this.#batch.length > 0 || (this.#queue.length > 0 && this.#cause === undefined)) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
    this.#retry?.cancel();
    const error = this.#cause ?? journalClosed();
    this.#closed = true;
    for (const operation of this.#queue.splice(0)) {
      operation.settle(error);
    }
  }

  /** Ends as its process does that is killed: nothing is settled, and only a batch that has reached the disk takes effect. */
  crash(batchIsStored: boolean): void {
    const batch = this.#batch;
    this.#crashed = true;
    this.#closed = true;
    this.#retry?.cancel();
    this.#queue = [];
    this.#batch = [];
    for (const operation of batchIsStored ? batch : []) {
      try {
        operation.apply();
      } catch {
        // It has failed alone, and whoever ordered it is gone.
      }
    }
  }

  #schedule(): void {
    if (!this.#flushIsDue && this.#batch.length === 0 && this.#cause === undefined) {
      this.#flushIsDue = true;
      this.#options.clock.setImmediate(() => {
        this.#flushIsDue = false;
        this.#flush();
      });
    }
  }

  #flush(): void {
    if (this.#batch.length > 0 || this.#closed) {
      return;
    }
    this.#batch = this.#queue;
    this.#queue = [];
    this.#isDurable().then(
      () => this.#crashed || this.#applyBatch(),
      (error: unknown) => this.#crashed || this.#fail(error),
    );
  }

  async #isDurable(): Promise<void> {
    await this.#options.durable();
  }

  #applyBatch(): void {
    const batch = this.#batch;
    this.#batch = [];
    this.#written = 0;
    for (const operation of batch) {
      let failure: Error | undefined;
      try {
        operation.apply();
      } catch (error) {
        failure = error instanceof Error ? error : new Error(String(error));
      }
      operation.settle(failure);
    }
    this.#failedTries = 0;
    if (this.#cause !== undefined) {
      this.#cause = undefined;
      this.#options.health.heal(part);
    }
    this.#goOn();
  }

  #fail(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    const cause = new JournalUnavailableError(`the journal in memory is kept from writing: ${reason}`, {
      cause: error,
    });
    this.#cause = cause;
    if (error instanceof UnsyncedError) {
      this.#written = this.#batch.length;
    }
    this.#queue = [...this.#batch, ...this.#queue];
    this.#batch = [];
    this.#options.health.fail(part, cause);
    this.#giveUpImpatient(cause);
    this.#retry = this.#options.clock.setTimeout(() => this.#flush(), retryDelayMs(this.#failedTries++));
    this.#goOn();
  }

  #giveUpImpatient(cause: Error): void {
    const written = this.#queue.splice(0, this.#written);
    const { kept, givenUp } = giveUpImpatient(this.#queue);
    this.#queue = [...written, ...kept];
    for (const operation of givenUp) {
      operation.settle(cause);
    }
  }

  #goOn(): void {
    if (this.#queue.length > 0) {
      this.#schedule();
    }
    this.#changed?.();
    this.#changed = undefined;
  }
}
