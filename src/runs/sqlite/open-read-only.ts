import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { JournalOpenError } from "../ports/journal.ts";
import { checkFormat, writtenBy } from "./migrate.ts";
import { migrations } from "./migrations.ts";
import { databasePath, openError } from "./open-database.ts";
import { packageIdentity } from "./package-identity.ts";

export interface ReadOnlyDatabase {
  readonly database: DatabaseSync;
  readonly format: number;
  /** The program that has written it last, with its version. */
  readonly writtenBy: string;
}

/** How long to wait for a moment at which a server lets the database be opened. */
const busyTimeoutMs = 10_000;

/**
 * Opens the database of a data directory to read it, also beside a server that writes it. What is read in one transaction
 * is the state of one moment; until it ends the server's log cannot start over, so it should end soon.
 *
 * @throws JournalOpenError when there is none, it is damaged, somebody else's, or written by a newer version
 */
export function openReadOnly(directory: string): ReadOnlyDatabase {
  const path = databasePath(directory);
  if (!existsSync(path)) {
    throw new JournalOpenError(
      "unreadable",
      `there is no journal in ${directory}: name the data directory of a server`,
    );
  }
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { readOnly: true, timeout: busyTimeoutMs });
    const format = checkFormat(database, migrations, { ...packageIdentity(), directory });
    if (format === 0) {
      throw new JournalOpenError(
        "unreadable",
        `the journal in ${directory} is empty: no server has been started there`,
      );
    }
    return { database, format, writtenBy: writtenBy(database) ?? "" };
  } catch (error) {
    database?.close();
    throw openError(error, directory);
  }
}
