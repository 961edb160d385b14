import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Clock, Timer } from "../../clock.ts";
import { JournalUnavailableError, journalClosed } from "../ports/journal.ts";
import { giveUpImpatient, type Operation } from "../storage/operation.ts";
import { retryDelayMs } from "../storage/retry-delay.ts";
import type { StorageHealth } from "../storage/storage-health.ts";
import type { CheckpointThread } from "./checkpoint-thread.ts";
import { Checkpoints } from "./checkpoints.ts";
import { LogLostError } from "./rewrite-log.ts";
import { isDamage, isStorageError, unavailable } from "./sqlite-error.ts";

/** An operation that knows about how many bytes it writes. */
export interface SizedOperation extends Operation {
  readonly bytes: number;
}

export interface GroupCommitOptions {
  readonly database: DatabaseSync;
  readonly directory: string;
  /** The open log, for `sync`. */
  readonly logFile: number;
  readonly sync: (file: number) => Promise<void>;
  readonly clock: Clock;
  readonly health: StorageHealth;
  readonly checkpoints: CheckpointThread;
  /** A rollback has taken changes back: what was remembered of them is wrong. */
  readonly forget: () => void;
}

/** Operations that share a commit: at most about 4 ms on the event loop. */
const mostOperations = 256;
/** Commits that share a sync, when more is due than one commit may take: each waits for the sync of all. */
const mostBatches = 8;
const mostBytes = 4 * 1024 * 1024;
/** What a commit, and an operation besides its own bytes, writes to the log: pages, which others have written before too. */
const bytesPerCommit = 32 * 1024;
const bytesPerOperation = 2 * 1024;

const part = "journal";

interface Batch {
  readonly operations: readonly SizedOperation[];
  /** The operations that failed alone. */
  readonly failures: ReadonlyMap<SizedOperation, Error>;
  /** For those who have read what it wrote. */
  durable?: PromiseWithResolvers<void>;
}

const noFailures: ReadonlyMap<SizedOperation, Error> = new Map();

/**
 * The one writer. It carries out operations in the order in which they come: all that are due in one transaction, or in a
 * few with turns of the event loop in between when they are many, then one sync of the log off this thread, then their
 * promises. What comes in during a sync shares the next transaction; committing it at once was measured to make more
 * transactions and no more throughput.
 *
 * 1. Nothing is settled, and nothing that was read is given out, before a sync that began after its commit has succeeded.
 * 2. An operation that fails, because of a conflict or else, takes the transaction with it; then all are done again, each
 *    in a savepoint of its own, and that one fails alone. It is rare, so that the others need not pay for savepoints.
 * 3. When the storage refuses a commit, the operations keep their places in the queue. When a sync fails, they are
 *    committed, and only not known to be durable: they are not done again.
 * 4. In both cases it serves again only after a checkpoint thread has proved that the log and the database can be written
 *    and synced; until the next batch is durable too, the status stays "failing".
 */
export class GroupCommit {
  readonly #options: GroupCommitOptions;
  readonly #checkpoints: Checkpoints;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #savepoint: StatementSync;
  readonly #release: StatementSync;
  readonly #rollbackTo: StatementSync;
  #queue: SizedOperation[] = [];
  /** What is committed and not known to be durable, oldest first. */
  #unsynced: Batch[] = [];
  #flushIsDue = false;
  #syncing = false;
  #paused = false;
  /** From here on nothing new is ordered. */
  #closing = false;
  /** From here on nothing happens any more. */
  #closed = false;
  /** Why the status is "failing": from the first trouble until a batch is durable again. */
  #cause: JournalUnavailableError | undefined;
  /** Whether nothing is committed until the storage has been proved to hold. */
  #blocked = false;
  /** Whether it will not be proved in this process. */
  #beyondRepair = false;
  #failedTries = 0;
  #retry: Timer | undefined;
  #recovering: Promise<void> | undefined;
  /** Whether the log may have lost what a failed sync should have kept. */
  #logInDoubt = false;
  /** For `close`, which waits for the end. */
  #changed: (() => void) | undefined;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
    this.#checkpoints = new Checkpoints({
      thread: options.checkpoints,
      pause: () => {
        this.#paused = true;
      },
      resume: () => {
        this.#paused = false;
        this.#goOn();
      },
      failed: (error) => this.#fail(error),
    });
    const { database } = options;
    this.#begin = database.prepare("BEGIN IMMEDIATE");
    this.#commit = database.prepare("COMMIT");
    this.#savepoint = database.prepare("SAVEPOINT operation");
    this.#release = database.prepare("RELEASE operation");
    this.#rollbackTo = database.prepare("ROLLBACK TO operation");
  }

  /** Orders an operation after all before it. */
  enqueue(operation: SizedOperation): void {
    if (this.#closing) {
      operation.settle(this.#closedError());
      return;
    }
    this.#queue.push(operation);
    if (operation.impatient && this.#cause !== undefined) {
      this.#giveUpImpatient(this.#cause);
    }
    this.#schedule();
  }

  /** Reads what is committed. Resolves when that is durable (rule 1). */
  read<Value>(query: () => Value): Promise<Value> {
    if (this.#closed) {
      return Promise.reject(this.#closedError());
    }
    let value: Value;
    try {
      value = query();
    } catch (error) {
      return Promise.reject(this.readFailed(error));
    }
    return this.whenDurable(value);
  }

  /** What a failed read says to its caller. The status tells of it too. */
  readFailed(error: unknown): unknown {
    if (this.#closed) {
      return this.#closedError();
    }
    if (!isStorageError(error)) {
      return error;
    }
    this.#fail(error);
    return unavailable(error, this.#options.directory);
  }

  /** Gives a value on when everything that is committed now is durable. */
  whenDurable<Value>(value: Value): Promise<Value> {
    if (this.#closed) {
      return Promise.reject(this.#closedError());
    }
    const last = this.#unsynced.at(-1);
    if (last === undefined) {
      return Promise.resolve(value);
    }
    last.durable ??= Promise.withResolvers();
    return last.durable.promise.then(() => value);
  }

  /** Resolves when everything that was ordered before is durable or has failed. */
  flush(): Promise<void> {
    if (this.#queue.length === 0) {
      return this.whenDurable(undefined);
    }
    return this.change(() => undefined);
  }

  /** Takes payloads of runs back out of the queue, if they are still in it. */
  withdrawPayloads(runIds: ReadonlySet<string>): void {
    const kept: SizedOperation[] = [];
    const withdrawn: SizedOperation[] = [];
    for (const operation of this.#queue) {
      (operation.payloadOf !== undefined && runIds.has(operation.payloadOf) ? withdrawn : kept).push(operation);
    }
    this.#queue = kept;
    for (const operation of withdrawn) {
      operation.settle(new JournalUnavailableError("the payload was deleted before it was stored"));
    }
  }

  /** Orders a change. It is made again when its transaction is rolled back. Resolves when it is durable. */
  change(apply: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.enqueue(new Change(apply, resolve, reject));
    });
  }

  /**
   * Finishes what was ordered, as far as it can be, and settles the rest as failed. Returns whether the database may be closed: not when
   * the log may have lost something, because closing would copy what is left of it.
   */
  async close(): Promise<boolean> {
    this.#closing = true;
    if (this.#blocked && !this.#beyondRepair) {
      this.#retry?.cancel();
      await this.#recover();
    }
    while (this.#syncing || (this.#pending && !this.#blocked)) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
    const error = this.#closedError();
    this.#closed = true;
    this.#retry?.cancel();
    for (const { operations, durable } of this.#unsynced.splice(0)) {
      for (const operation of operations) {
        operation.settle(error);
      }
      durable?.reject(error);
    }
    for (const operation of this.#queue.splice(0)) {
      operation.settle(error);
    }
    await this.#checkpoints.close();
    return !this.#logInDoubt;
  }

  get #pending(): boolean {
    return this.#queue.length > 0 || this.#unsynced.length > 0;
  }

  #schedule(): void {
    if (!this.#flushIsDue && this.#mayCommit()) {
      this.#flushIsDue = true;
      this.#options.clock.setImmediate(() => {
        this.#flushIsDue = false;
        this.#flush();
      });
    }
  }

  #mayCommit(): boolean {
    return !this.#blocked && !this.#paused && !this.#syncing && this.#unsynced.length < mostBatches;
  }

  #flush(): void {
    if (!this.#mayCommit() || this.#queue.length === 0) {
      this.#goOn();
      return;
    }
    const operations = this.#take();
    let failures: ReadonlyMap<SizedOperation, Error>;
    try {
      failures = this.#commitAll(operations);
    } catch (error) {
      this.#queue = [...operations, ...this.#queue];
      this.#fail(error);
      return;
    }
    this.#unsynced.push({ operations, failures });
    let bytes = bytesPerCommit;
    for (const operation of operations) {
      bytes += bytesPerOperation + operation.bytes;
    }
    this.#checkpoints.wrote(bytes);
    this.#goOn();
  }

  #take(): SizedOperation[] {
    const queue = this.#queue;
    let count = 0;
    for (let bytes = 0; count < queue.length && count < mostOperations && bytes < mostBytes; count++) {
      bytes += queue[count]?.bytes ?? 0;
    }
    if (count === queue.length) {
      this.#queue = [];
      return queue;
    }
    return queue.splice(0, count);
  }

  /** Commits operations; returns those that failed alone. @throws when the storage refuses: then nothing has happened */
  #commitAll(operations: readonly SizedOperation[]): ReadonlyMap<SizedOperation, Error> {
    try {
      return this.#transaction(() => this.#applyTogether(operations));
    } catch (error) {
      if (isStorageError(error)) {
        throw error;
      }
      return this.#transaction(() => this.#applyEach(operations));
    }
  }

  #transaction<Result>(change: () => Result): Result {
    try {
      this.#begin.get();
      const result = change();
      this.#commit.get();
      return result;
    } catch (error) {
      // SQLite has rolled back by itself after some errors.
      if (this.#options.database.isTransaction) {
        this.#options.database.exec("ROLLBACK");
      }
      this.#options.forget();
      throw error;
    }
  }

  #applyTogether(operations: readonly SizedOperation[]): ReadonlyMap<SizedOperation, Error> {
    for (const operation of operations) {
      operation.apply();
    }
    return noFailures;
  }

  #applyEach(operations: readonly SizedOperation[]): ReadonlyMap<SizedOperation, Error> {
    const failures = new Map<SizedOperation, Error>();
    for (const operation of operations) {
      this.#savepoint.get();
      try {
        operation.apply();
      } catch (error) {
        if (isStorageError(error)) {
          throw error;
        }
        failures.set(operation, error instanceof Error ? error : new Error(String(error)));
        this.#rollbackTo.get();
        this.#options.forget();
      }
      this.#release.get();
    }
    return failures;
  }

  /** Does what is due next. */
  #goOn(): void {
    if (this.#queue.length > 0 && this.#mayCommit()) {
      this.#schedule();
    } else if (this.#unsynced.length > 0 && !this.#syncing && !this.#blocked) {
      this.#sync();
    }
    this.#changed?.();
    this.#changed = undefined;
  }

  #sync(): void {
    const count = this.#unsynced.length;
    this.#syncing = true;
    this.#startSync().then(
      () => {
        this.#syncing = false;
        this.#settle(count);
        if (!this.#blocked) {
          this.#failedTries = 0;
          this.#heal();
        }
        this.#goOn();
      },
      (error: unknown) => {
        this.#syncing = false;
        this.#logInDoubt = true;
        this.#fail(error);
      },
    );
  }

  /** A sync that fails at once fails like any other. */
  async #startSync(): Promise<void> {
    await this.#options.sync(this.#options.logFile);
  }

  /** Settles so many batches, the oldest ones. */
  #settle(count: number): void {
    for (const { operations, failures, durable } of this.#unsynced.splice(0, count)) {
      for (const operation of operations) {
        operation.settle(failures.get(operation));
      }
      durable?.resolve();
    }
  }

  #heal(): void {
    if (this.#cause !== undefined) {
      this.#cause = undefined;
      this.#options.health.heal(part);
    }
  }

  #fail(error: unknown): void {
    if (this.#closed || this.#beyondRepair) {
      this.#goOn();
      return;
    }
    const cause = unavailable(error, this.#options.directory);
    this.#cause = cause;
    this.#blocked = true;
    this.#beyondRepair = isDamage(error) || error instanceof LogLostError;
    this.#options.health.fail(part, cause, this.#beyondRepair);
    this.#giveUpImpatient(cause);
    this.#retry?.cancel();
    if (!this.#beyondRepair && this.#recovering === undefined) {
      this.#retry = this.#options.clock.setTimeout(() => void this.#recover(), retryDelayMs(this.#failedTries++));
    }
    this.#goOn();
  }

  #giveUpImpatient(cause: Error): void {
    const { kept, givenUp } = giveUpImpatient(this.#queue);
    this.#queue = kept;
    for (const operation of givenUp) {
      operation.settle(cause);
    }
  }

  #recover(): Promise<void> {
    this.#recovering ??= this.#prove();
    return this.#recovering;
  }

  async #prove(): Promise<void> {
    let failure: unknown;
    try {
      await this.#checkpoints.prove();
    } catch (error) {
      failure = error;
    }
    this.#recovering = undefined;
    if (failure !== undefined || this.#beyondRepair) {
      this.#fail(failure);
      return;
    }
    this.#logInDoubt = false;
    this.#blocked = false;
    // Nothing was committed meanwhile, so all of it is in what was proved.
    this.#settle(this.#unsynced.length);
    if (!this.#pending) {
      this.#heal();
    }
    this.#goOn();
  }

  #closedError(): JournalUnavailableError {
    return this.#cause ?? journalClosed();
  }
}

class Change implements SizedOperation {
  readonly impatient = false;
  readonly appends = [];
  readonly bytes = 0;
  readonly apply: () => void;
  readonly #resolve: () => void;
  readonly #reject: (error: Error) => void;

  constructor(apply: () => void, resolve: () => void, reject: (error: Error) => void) {
    this.apply = apply;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  settle(failure: Error | undefined): void {
    if (failure === undefined) {
      this.#resolve();
    } else {
      this.#reject(failure);
    }
  }
}
