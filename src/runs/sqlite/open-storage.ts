import { closeSync, fdatasync, openSync } from "node:fs";
import { promisify } from "node:util";
import type { Clock } from "../../clock.ts";
import type { Journal } from "../ports/journal.ts";
import { type PayloadCodec, type Payloads, plainCodec } from "../ports/payloads.ts";
import { StorageHealth } from "../storage/storage-health.ts";
import { abandon } from "./abandon.ts";
import { CheckpointThread } from "./checkpoint-thread.ts";
import { EndedRuns } from "./ended-runs.ts";
import { GroupCommit } from "./group-commit.ts";
import { IncrementalVacuum } from "./incremental-vacuum.ts";
import { checkpointFully, openDatabase } from "./open-database.ts";
import { PayloadFiles } from "./payload-files.ts";
import { PayloadTable } from "./payload-table.ts";
import { RunNames } from "./run-names.ts";
import { RunSearch } from "./run-search.ts";
import { SqliteJournal } from "./sqlite-journal.ts";
import { SqlitePayloads } from "./sqlite-payloads.ts";
import { StreamTable } from "./stream-table.ts";

export interface SqliteStorageOptions {
  /** Made if it does not exist; used by one process at a time. */
  readonly directory: string;
  readonly clock: Clock;
  /** How payloads look at rest. Default: plain. */
  readonly codec?: PayloadCodec;
  /** Makes durable what was written to an open file. Default: an asynchronous `fdatasync`. */
  readonly sync?: (file: number) => Promise<void>;
}

export interface SqliteStorage {
  readonly journal: Journal;
  readonly payloads: Payloads;
  /** Finishes what can be finished, rejects the rest, and gives the directory free. The same as `journal.close`. */
  close(): Promise<void>;
  /** After `close`: the log may have lost something, so the database stays open until the process ends. */
  readonly abandoned: boolean;
}

/**
 * Opens the embedded storage on this thread: journal and payloads in one SQLite database, and large payloads in files
 * beside it. It commits with `synchronous = NORMAL`, then syncs the log once for each batch.
 *
 * @throws JournalOpenError when the directory is locked, unreadable, damaged, or written by a newer version
 */
export function openSqliteStorage(options: SqliteStorageOptions): SqliteStorage {
  const { directory, clock, codec = plainCodec, sync = promisify(fdatasync) } = options;
  const opened = openDatabase(directory, clock);
  const { database, path, lock } = opened;
  const logFile = openSync(`${path}-wal`, "r+");
  const names = new RunNames(database);
  const streams = new StreamTable(database, names);
  const table = new PayloadTable(database);
  table.deleteOrphans();
  const health = new StorageHealth();
  const checkpoints = new CheckpointThread(path, directory);
  const commit = new GroupCommit({
    database,
    directory,
    logFile,
    sync,
    clock,
    health,
    checkpoints,
    forget: () => streams.forget(),
  });
  const vacuum = new IncrementalVacuum({ database, clock, enqueue: (operation) => commit.enqueue(operation) });
  const files = new PayloadFiles({ directory, sync, clock, health, isOwned: (sha256) => table.ownsFile(sha256) });

  async function closeAll(): Promise<void> {
    vacuum.stop();
    await files.close();
    const closable = await commit.close();
    closeSync(logFile);
    if (closable) {
      try {
        database.exec("PRAGMA synchronous = FULL");
        checkpointFully(database);
      } catch {
        // The log stays, and the next start goes on from it.
      }
      database.close();
      lock.release();
    } else {
      // The lock stays too: the log must not be taken over before this process has ended.
      abandoned = true;
      abandon(opened);
    }
    await checkpoints.terminate();
  }

  let abandoned = false;
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= closeAll();
    return closing;
  };
  const search = new RunSearch(database, names);
  const ended = new EndedRuns(database, names);
  const journal = new SqliteJournal({ commit, streams, search, ended, vacuum, clock, health, close });

  // What an earlier process has left half done. None of it is urgent, and what fails now is found at the next start.
  if (streams.hasMarked) {
    journal.deleteMarked().catch(() => undefined);
  }
  files.sweep().catch(() => undefined);
  vacuum.consider();
  return {
    journal,
    payloads: new SqlitePayloads({ commit, table, files, codec }),
    close,
    get abandoned() {
      return abandoned;
    },
  };
}
