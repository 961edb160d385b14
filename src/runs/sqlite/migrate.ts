import type { DatabaseSync } from "node:sqlite";
import { JournalOpenError } from "../ports/journal.ts";
import type { Migration } from "./migrations.ts";

/** "RTKE": tells our databases from other people's. */
const applicationId = 0x52544b45;

/** A program, and the directory in which it has found a database. */
export interface MigratingProgram {
  readonly name: string;
  readonly version: string;
  readonly directory: string;
}

/**
 * Brings a database to the newest format, each step in a transaction of its own with the number that it leads to, and
 * writes down which program did so.
 *
 * @throws JournalOpenError when it is somebody else's, or a newer program has written it
 */
export function migrate(database: DatabaseSync, migrations: readonly Migration[], program: MigratingProgram): void {
  const writer = writerOf(program);
  const present = checkFormat(database, migrations, program);
  for (const migration of migrations) {
    if (migration.version > present) {
      inTransaction(database, () => {
        database.exec(migration.sql);
        database.exec(`PRAGMA user_version = ${migration.version}; PRAGMA application_id = ${applicationId}`);
        signAs(database, writer);
      });
    }
  }
  inTransaction(database, () => signAs(database, writer));
}

/**
 * Returns the format of a database that this program can read, 0 for an empty one.
 *
 * @throws JournalOpenError when it is somebody else's, or a newer program has written it
 */
export function checkFormat(
  database: DatabaseSync,
  migrations: readonly Migration[],
  program: MigratingProgram,
): number {
  const { name, directory } = program;
  const present = pragma(database, "user_version");
  const known = migrations.at(-1)?.version ?? 0;
  const id = pragma(database, "application_id");
  const tables = database.prepare("SELECT count(*) AS tables FROM sqlite_schema").get()?.["tables"];
  if (id !== applicationId && (tables !== 0 || present !== 0)) {
    throw new JournalOpenError(
      "damaged",
      `the database in ${directory} is not one of ${name}: choose another data directory`,
    );
  }
  if (present > known) {
    throw new JournalOpenError(
      "newer",
      `the journal in ${directory} was written by ${writtenBy(database) ?? `a newer ${name}`} (format ${present}), and this is ` +
        `${writerOf(program)} (format ${known}): start the newer one, or choose another data directory`,
    );
  }
  return present;
}

/** The program that has written a database last, with its version. */
export function writtenBy(database: DatabaseSync): string | undefined {
  const value = database.prepare("SELECT value FROM meta WHERE name = 'written_by'").get()?.["value"];
  return typeof value === "string" ? value : undefined;
}

/** A program as it signs. */
export function writerOf({ name, version }: Pick<MigratingProgram, "name" | "version">): string {
  return `${name} ${version}`;
}

function signAs(database: DatabaseSync, writer: string): void {
  database
    .prepare("INSERT INTO meta VALUES ('written_by', ?) ON CONFLICT DO UPDATE SET value = excluded.value")
    .run(writer);
}

function inTransaction(database: DatabaseSync, change: () => void): void {
  database.exec("BEGIN IMMEDIATE");
  try {
    change();
    database.exec("COMMIT");
  } catch (error) {
    if (database.isTransaction) {
      database.exec("ROLLBACK");
    }
    throw error;
  }
}

function pragma(database: DatabaseSync, name: string): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name]);
}
