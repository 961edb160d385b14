import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { JournalOpenError } from "../../../src/runs/ports/journal.ts";
import { migrate } from "../../../src/runs/sqlite/migrate.ts";
import { type Migration, migrations } from "../../../src/runs/sqlite/migrations.ts";

const program = { name: "retake", version: "1.2.3", directory: "/data" };
const [first] = migrations as readonly [Migration];
const second = { version: first.version + 1, sql: "ALTER TABLE streams ADD COLUMN colour TEXT DEFAULT 'red'" };

describe("migrate", () => {
  let database: DatabaseSync;

  beforeEach(() => {
    database = new DatabaseSync(":memory:");
  });

  afterEach(() => database.close());

  function value(sql: string): unknown {
    return Object.values(database.prepare(sql).get() ?? {})[0];
  }

  it("numbers the migrations without a gap", () => {
    expect(migrations.map(({ version }) => version)).toEqual(migrations.map((_, index) => index + 1));
  });

  it("makes a new database, and writes down its format and who wrote it", () => {
    migrate(database, migrations, program);

    expect(value("PRAGMA user_version")).toBe(migrations.at(-1)?.version);
    expect(value("SELECT value FROM meta WHERE name = 'written_by'")).toBe("retake 1.2.3");
    expect(value("SELECT count(*) FROM streams")).toBe(0);
  });

  it("brings an older database to the newest format and keeps what it holds", () => {
    migrate(database, [first], program);
    database.exec("INSERT INTO streams (id, name, last_sequence) VALUES (5, 'run/a', 3)");
    migrate(database, [first, second], { ...program, version: "1.3.0" });

    expect(value("PRAGMA user_version")).toBe(second.version);
    expect(value("SELECT value FROM meta WHERE name = 'written_by'")).toBe("retake 1.3.0");
    expect(value("SELECT colour || name FROM streams")).toBe("redrun/a");
  });

  it("does a migration once", () => {
    migrate(database, [first, second], program);
    expect(() => migrate(database, [first, second], program)).not.toThrow();
  });

  it("takes a migration that fails back as a whole, with its number", () => {
    migrate(database, [first], program);
    const broken = { version: 2, sql: "CREATE TABLE half (id INTEGER); INSERT INTO nowhere VALUES (1)" };

    expect(() => migrate(database, [first, broken], program)).toThrow(/nowhere/);
    expect(value("PRAGMA user_version")).toBe(1);
    expect(value("SELECT count(*) FROM sqlite_schema WHERE name = 'half'")).toBe(0);
    expect(database.isTransaction).toBe(false);
  });

  it("refuses what a newer version has written, naming both", () => {
    migrate(database, [first, second], { ...program, version: "9.0.0" });

    expect(() => migrate(database, [first], program)).toThrow(
      new JournalOpenError(
        "newer",
        "the journal in /data was written by retake 9.0.0 (format 2), and this is retake 1.2.3 (format 1): start the " +
          "newer one, or choose another data directory",
      ),
    );
    expect(value("PRAGMA user_version")).toBe(2);
  });

  it.each([
    ["tables", "CREATE TABLE diary (day TEXT)"],
    ["a format", "PRAGMA user_version = 1"],
  ])("leaves alone a database with %s of somebody else's", (_, sql) => {
    database.exec(sql);

    expect(() => migrate(database, migrations, program)).toThrow(/not one of retake: choose another data directory/);
    expect(value("SELECT count(*) FROM sqlite_schema WHERE name = 'streams'")).toBe(0);
  });
});
