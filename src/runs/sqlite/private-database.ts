import { DatabaseSync } from "node:sqlite";
import { createPrivateFile } from "../../create-private-file.ts";
import { JournalOpenError } from "../ports/journal.ts";

/** Problems of SQLite's own check that are told. */
const toldProblems = 3;

/** Opens a copy of a database that nobody else knows of: nothing lies beside it once it is closed. */
export function openPrivateDatabase(path: string): DatabaseSync {
  createPrivateFile(path);
  const database = new DatabaseSync(path);
  // Without it other processes could open it too, by a file for their locks.
  database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL");
  return database;
}

/** What SQLite finds wrong with a database; `quickly` leaves out whether indexes agree with their tables. */
export function* integrityProblems(database: DatabaseSync, quickly: boolean): Generator<string> {
  for (const row of database.prepare(`PRAGMA ${quickly ? "quick_check" : "integrity_check"}`).iterate()) {
    const problem = String(Object.values(row)[0]);
    if (problem !== "ok") {
      yield problem;
    }
  }
}

/** @throws JournalOpenError when SQLite finds something wrong */
export function assertIntact(database: DatabaseSync, what: string): void {
  const problems = [...integrityProblems(database, true)];
  if (problems.length > 0) {
    throw new JournalOpenError("damaged", `${what} is damaged: ${problems.slice(0, toldProblems).join("; ")}`);
  }
}
