import { statSync } from "node:fs";
import { resolve } from "node:path";
import type { Clock } from "../../clock.ts";
import { checkpointFully, openDatabase, openError } from "./open-database.ts";
import { openReadOnly } from "./open-read-only.ts";
import { isStorageError } from "./sqlite-error.ts";
import { rewrite } from "./vacuum-mode.ts";

export interface Compacted {
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/**
 * Rewrites the database of a server that does not run, without what is free in it; from then on the server gives free
 * pages back by itself. When it is interrupted or the disk fills, everything is as it was.
 *
 * @throws JournalOpenError when there is no journal, or it is in use
 */
export function compact(given: string, clock: Clock): Compacted {
  const directory = resolve(given);
  openReadOnly(directory).database.close();
  const { database, path, lock } = openDatabase(directory, clock);
  try {
    const bytesBefore = statSync(path).size;
    database.exec("PRAGMA synchronous = FULL");
    rewrite(database);
    checkpointFully(database);
    return { bytesBefore, bytesAfter: statSync(path).size };
  } catch (error) {
    throw isStorageError(error) ? openError(error, directory) : error;
  } finally {
    database.close();
    lock.release();
  }
}
