import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Clock } from "../../clock.ts";
import { createPrivateFile } from "../../create-private-file.ts";
import { JournalOpenError } from "../ports/journal.ts";
import { checkpoint, framesInLog } from "./checkpoint.ts";
import { databaseName } from "./database-name.ts";
import { type DirectoryLock, lockDirectory } from "./directory-lock.ts";
import { migrate } from "./migrate.ts";
import { migrations } from "./migrations.ts";
import { packageIdentity } from "./package-identity.ts";
import { rewriteLog } from "./rewrite-log.ts";
import { describe, isDamage } from "./sqlite-error.ts";
import { convertWhereQuick, wishForVacuum } from "./vacuum-mode.ts";

export interface OpenDatabase {
  readonly database: DatabaseSync;
  readonly path: string;
  readonly lock: DirectoryLock;
}

/** Where the database of a data directory is. */
export function databasePath(directory: string): string {
  return join(directory, databaseName);
}

/** Where a restore puts what it has not verified yet, within a data directory. */
export const restoringFolder = "restoring";

/** Enough for the pages that busy runs share; a page that is not there costs a read from the system's own cache. */
const cacheKib = 32 * 1024;

/** What the log is cut to once it may start over, after something had kept it from doing so. */
const keptLogBytes = 64 * 1024 * 1024;

/**
 * Opens the database in a directory, made if it does not exist, for this process alone. Whatever it holds then is
 * durable, also what an earlier process has written and not synced.
 *
 * @throws JournalOpenError
 */
export function openDatabase(directory: string, clock: Clock): OpenDatabase {
  let lock: DirectoryLock | undefined;
  let database: DatabaseSync | undefined;
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    lock = lockDirectory(directory, clock);
    const path = databasePath(directory);
    assertRestored(path, directory);
    createPrivateFile(path);
    database = new DatabaseSync(path);
    wishForVacuum(database);
    configure(database, directory);
    migrate(database, migrations, { ...packageIdentity(), directory });
    makeDurable(database, path);
    convertWhereQuick(database);
    // From here on each batch is synced by whoever commits it, off this thread.
    database.exec("PRAGMA synchronous = NORMAL");
    return { database, path, lock };
  } catch (error) {
    database?.close();
    lock?.release();
    throw openError(error, directory);
  }
}

/** Sets up a connection to the database, of any thread, so that it syncs whatever it writes. */
export function configure(database: DatabaseSync, directory: string): void {
  database.exec(`
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = ${keptLogBytes};
    PRAGMA cache_size = -${cacheKib};
    PRAGMA cell_size_check = ON;
  `);
  const mode = database.prepare("PRAGMA journal_mode = WAL").get()?.["journal_mode"];
  if (mode !== "wal") {
    throw new JournalOpenError(
      "unreadable",
      `the file system of ${directory} does not let SQLite keep a write-ahead log: choose a data directory on a local disk`,
    );
  }
}

/** Sees that whatever the database holds is durable, also while a backup of it is being made. */
function makeDurable(database: DatabaseSync, path: string): void {
  if (checkpoint(database, "TRUNCATE").busy) {
    // Somebody reads, and keeps the log from being emptied. They must not keep the server from starting too.
    rewriteLog(`${path}-wal`, framesInLog(database));
  }
}

/** Moves the whole log into the database and empties it. @throws when that, or a sync of it, does not succeed */
export function checkpointFully(database: DatabaseSync): void {
  if (checkpoint(database, "TRUNCATE").busy) {
    throw new Error("another process reads the database and keeps the write-ahead log from being emptied");
  }
}

/** A restore that has not ended must not look like a journal without runs. */
function assertRestored(path: string, directory: string): void {
  if (existsSync(join(directory, restoringFolder)) && !existsSync(path)) {
    throw new JournalOpenError(
      "unreadable",
      `a restore into ${directory} has not come to its end: repeat it, or remove ${restoringFolder} there to begin with nothing`,
    );
  }
}

/** Why a database cannot be opened, and what to do. */
export function openError(error: unknown, directory: string): JournalOpenError {
  if (error instanceof JournalOpenError) {
    return error;
  }
  const cause = { cause: error };
  if (isDamage(error)) {
    return new JournalOpenError(
      "damaged",
      `the journal in ${directory} is damaged (${describe(error)}): keep a copy of the directory and restore a backup, ` +
        "or choose another data directory",
      cause,
    );
  }
  switch ((error as NodeJS.ErrnoException).code) {
    case "EEXIST":
    case "ENOTDIR":
      return new JournalOpenError(
        "unreadable",
        `${directory} cannot be the data directory, because it, or what it is in, is a file: choose another one`,
        cause,
      );
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new JournalOpenError(
        "unreadable",
        `the data directory ${directory} cannot be used (${describe(error)}): let this user write there, or choose another one`,
        cause,
      );
    default:
      return new JournalOpenError(
        "unreadable",
        `the journal in ${directory} cannot be opened (${describe(error)}): see that this user can read and write every ` +
          "file in it and that the disk has space",
        cause,
      );
  }
}
