import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Worker } from "node:worker_threads";
import type { Clock } from "../../../clock.ts";
import { ownModule } from "../../../own-files.ts";
import { abandon } from "../abandon.ts";
import { databaseName } from "../database-name.ts";
import type { SqliteStorage } from "../open-storage.ts";
import { type ClientChannel, StorageClient } from "./client.ts";
import { fromFailure } from "./failures.ts";
import type { StorageReply } from "./messages.ts";
import type { StorageThreadData } from "./worker.ts";

export interface SqliteThreadOptions {
  /** Made if it does not exist; used by one process at a time. */
  readonly directory: string;
  readonly clock: Clock;
  /** A module that exports `sync(file: number): Promise<void>`, instead of an `fdatasync` on the storage's own thread. */
  readonly syncModule?: URL;
}

/** A thread for an embedded storage that is not open yet. */
export interface SqliteThread {
  /**
   * Opens the storage; called once. The thread keeps the process alive only while something is being waited for.
   *
   * @throws JournalOpenError when the directory is locked, unreadable, damaged, or written by a newer version
   */
  open(options: SqliteThreadOptions): Promise<SqliteStorage>;
  /** Ends a thread that is not to open anything. */
  end(): Promise<void>;
}

/**
 * Starts a thread for the embedded storage: SQLite and the disk take about a third of what a run costs, and the event
 * loop has the other two. It loads its code meanwhile, and touches no file before `open`.
 */
export function startSqliteThread(): SqliteThread {
  const worker = new Worker(ownModule("runs/sqlite/thread/worker"), {
    name: "retake-journal",
    // Options of the process are not meant for it, and some a worker cannot take.
    execArgv: [],
  });
  const ready = opened(worker);
  // What goes wrong before `open` is told by `open`.
  ready.catch(() => undefined);
  return {
    async open({ directory, clock, syncModule }) {
      worker.postMessage({ directory, syncModule: syncModule?.href } satisfies StorageThreadData);
      try {
        await ready;
        return connect(worker, new DatabaseSync(join(directory, databaseName)), clock);
      } catch (error) {
        await worker.terminate();
        throw error;
      }
    },
    async end() {
      await worker.terminate();
    },
  };
}

/** Opens the embedded storage on a thread of its own. @throws JournalOpenError as `SqliteThread.open` does */
export async function openSqliteThread(options: SqliteThreadOptions): Promise<SqliteStorage> {
  return await startSqliteThread().open(options);
}

/** Resolves when the storage is open. */
function opened(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      worker.off("message", onMessage).off("error", settle).off("exit", onExit);
      if (error === undefined) {
        resolve();
      } else {
        reject(error);
      }
    };
    const onMessage = (reply: StorageReply): void =>
      settle(reply.kind === "refused" ? fromFailure(reply.failure) : undefined);
    const onExit = (code: number): void => settle(new Error(`the thread of the journal has ended with code ${code}`));
    worker.on("message", onMessage).on("error", settle).on("exit", onExit);
  });
}

/**
 * @param guard a second connection to the database. SQLite copies the log into the database when the last one is closed,
 * as it is when a thread ends; this one sees that the thread's never is the last.
 */
function connect(worker: Worker, guard: DatabaseSync, clock: Clock): SqliteStorage {
  guard.exec("SELECT 1 FROM sqlite_schema");
  const channel: ClientChannel = {
    post: (message, transfer = []) => worker.postMessage(message, [...transfer]),
    onMessage: (listener) => worker.on("message", listener),
    busy: (busy) => (busy ? worker.ref() : worker.unref()),
  };
  const client = new StorageClient({ channel, clock, close: () => closeOnce() });
  worker.unref();
  let ending = false;
  const lose = (error: Error): void => {
    if (!ending) {
      ending = true;
      abandon(guard);
      client.lose(error);
    }
  };
  worker.on("error", lose);
  worker.on("exit", (code) => lose(new Error(`it has ended with code ${code}`)));
  let abandoned = false;

  async function close(): Promise<void> {
    abandoned = await client.close().catch(() => true);
    if (ending) {
      return;
    }
    ending = true;
    if (abandoned) {
      // The thread stays, and with it the lock of the directory.
      abandon(guard);
    } else {
      await worker.terminate();
      guard.close();
    }
  }

  let closing: Promise<void> | undefined;
  const closeOnce = (): Promise<void> => {
    closing ??= close();
    return closing;
  };
  return {
    journal: client.journal,
    payloads: client.payloads,
    close: closeOnce,
    get abandoned() {
      return abandoned;
    },
  };
}
