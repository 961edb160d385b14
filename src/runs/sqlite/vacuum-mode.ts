import type { DatabaseSync } from "node:sqlite";
import { isDamage, isStorageError } from "./sqlite-error.ts";

/** Of `PRAGMA auto_vacuum`. */
const incremental = 2;

/** A larger database is not rewritten while somebody waits for the server: this much takes about half a second. */
const mostBytesAtStart = 64 * 1024 * 1024;

/**
 * Wishes for a database whose free pages can be given back a few at a time. A new one becomes so with its first page; an
 * older one only once it is rewritten as a whole. It costs 2 % more bytes in the log, since SQLite then notes for each page
 * who refers to it.
 */
export function wishForVacuum(database: DatabaseSync): void {
  database.exec(`PRAGMA auto_vacuum = ${incremental}`);
}

/** Whether free pages can be given back. */
export function canVacuum(database: DatabaseSync): boolean {
  return pragma(database, "auto_vacuum") === incremental;
}

/** Rewrites an older database, unless it is large: then `retake compact` does, when the operator has the time. */
export function convertWhereQuick(database: DatabaseSync): void {
  if (canVacuum(database) || pragma(database, "page_count") * pragma(database, "page_size") > mostBytesAtStart) {
    return;
  }
  try {
    // Nobody has promised a folder for temporary files.
    database.exec("PRAGMA temp_store = MEMORY");
    rewrite(database);
  } catch (error) {
    // There is no room, or the like: a server can do without, and the next start tries again.
    if (isDamage(error) || !isStorageError(error)) {
      throw error;
    }
  } finally {
    database.exec("PRAGMA temp_store = DEFAULT");
  }
}

/** Rewrites a database without what is free in it. Needs as much room again, twice. */
export function rewrite(database: DatabaseSync): void {
  wishForVacuum(database);
  database.exec("VACUUM");
}

function pragma(database: DatabaseSync, name: string): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name]);
}
