import type { KnownReason } from "./kinds.ts";

/** Primary result codes of SQLite (https://www.sqlite.org/rescode.html). */
const reasons: ReadonlyMap<number, KnownReason> = new Map([
  [3, "FILE_DENIED"], // PERM
  [4, "ABORTED"], // ABORT
  [5, "DATABASE_BUSY"], // BUSY
  [6, "DATABASE_BUSY"], // LOCKED
  [7, "OUT_OF_MEMORY"], // NOMEM
  [8, "FILE_DENIED"], // READONLY
  [9, "ABORTED"], // INTERRUPT
  [10, "IO_FAILED"], // IOERR
  [11, "DATABASE_DAMAGED"], // CORRUPT
  [13, "DISK_FULL"], // FULL
  [14, "FILE_NOT_FOUND"], // CANTOPEN
  [18, "TOO_LARGE"], // TOOBIG
  [19, "DATABASE_CONSTRAINT"], // CONSTRAINT
  [23, "FILE_DENIED"], // AUTH
  [26, "DATABASE_DAMAGED"], // NOTADB
]);

/** What a result code means; the primary one is the low byte of an extended one. */
export function reasonOfSqliteCode(errcode: number): KnownReason {
  return reasons.get(errcode & 0xff) ?? "DATABASE_FAILED";
}
