import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { runStream } from "../../../src/runs/ports/journal.ts";
import { openSqliteStorage, type SqliteStorage } from "../../../src/runs/sqlite/index.ts";
import { bytes, creation, owner, records, settled } from "../ports/storage-harness.ts";
import { TestDisk } from "../ports/test-disk.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const events = 100_000;

function openStorage(directory: string, disk = new TestDisk()): SqliteStorage {
  const storage = openSqliteStorage({ directory, clock: systemClock, sync: disk.sync });
  onTestFinished(() => storage.close());
  return storage;
}

/** Looks into the database from outside. */
function query(directory: string, sql: string): unknown {
  const database = new DatabaseSync(join(directory, "retake.db"), { readOnly: true });
  try {
    return Object.values(database.prepare(sql).get() ?? {})[0];
  } finally {
    database.close();
  }
}

/** A directory with a stream of very many events, each in a row of its own, and a short one. */
async function withLongStream(): Promise<string> {
  const directory = temporaryDirectory();
  const { journal, close } = openSqliteStorage({ directory, clock: systemClock });
  await journal.append([{ stream: "long", expectedSequence: 0, records: records("1") }]);
  await journal.append([{ stream: "short", expectedSequence: 0, records: records("1") }]);
  await close();
  const database = new DatabaseSync(join(directory, "retake.db"));
  database.exec(`
    INSERT INTO events WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ${events})
      SELECT (SELECT id FROM streams WHERE name = 'long'), i, 1, x'00' FROM n;
    UPDATE streams SET last_sequence = ${events} WHERE name = 'long';
  `);
  database.close();
  return directory;
}

describe("deleting a stream of very many events", () => {
  it("happens in small batches, between which others append", async () => {
    const directory = await withLongStream();
    const disk = new TestDisk();
    const { journal } = openStorage(directory, disk);
    let deleted = false;
    const deleting = journal.deleteStreams(["long", "short"]).then(() => {
      deleted = true;
    });
    let appended = 0;
    while (!deleted) {
      await journal.append([{ stream: "other", expectedSequence: appended, records: records("x") }]);
      appended++;
    }
    await deleting;

    expect(appended).toBeGreaterThan(events / 1_000);
    expect(query(directory, "SELECT count(*) FROM events")).toBe(appended);
    expect(query(directory, "SELECT count(*) FROM deletions")).toBe(0);
    expect(await journal.listStreams("", "", 10)).toEqual(["other"]);
  });

  it("shows the stream as gone from the first batch on, and lets it begin anew meanwhile", async () => {
    const directory = await withLongStream();
    const { journal } = openStorage(directory);
    const deleting = journal.deleteStreams(["long"]);
    await journal.append([{ stream: "long", expectedSequence: 0, records: records("new") }]);

    expect(Number(query(directory, "SELECT count(*) FROM events"))).toBeGreaterThan(90_000);
    expect(await journal.read("long", 0, 10)).toEqual([{ sequence: 1, data: bytes("new") }]);
    await deleting;
    expect(await journal.read("long", 0, 10)).toEqual([{ sequence: 1, data: bytes("new") }]);
    expect(query(directory, "SELECT count(*) FROM events")).toBe(2);
  });

  it("goes on after a restart, and gives its place to nobody before it has ended", async () => {
    const directory = await withLongStream();
    const first = openStorage(directory);
    const interrupted = first.journal.deleteStreams(["long"]).catch((error: Error) => error);
    await first.journal.append([{ stream: "a", expectedSequence: 0, records: records("x") }]);
    await first.close();
    await interrupted;
    const left = Number(query(directory, "SELECT count(*) FROM events"));
    expect(left).toBeGreaterThan(50_000);

    const disk = new TestDisk();
    const second = openStorage(directory, disk);
    await second.journal.append([{ stream: "b", expectedSequence: 0, records: records("b") }]);
    while (query(directory, "SELECT count(*) FROM deletions") !== 0) {
      await second.journal.flush();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(query(directory, "SELECT count(*) FROM events")).toBe(3);
    expect(await second.journal.read("b", 0, 10)).toEqual([{ sequence: 1, data: bytes("b") }]);
  });

  it("keeps the positions of runs apart while it lasts", async () => {
    const directory = temporaryDirectory();
    const first = openStorage(directory);
    // The newest run is the one that goes, so its position looks free to whoever comes next.
    for (let index = 0; index < 2_000; index++) {
      void first.journal.append(
        index === 0
          ? [creation("gone", { createTimeMs: 50, records: records("old") })]
          : [{ stream: runStream("gone"), expectedSequence: index, records: records("old") }],
      );
    }
    await first.journal.flush();
    const interrupted = first.journal.deleteStreams([runStream("gone")]).catch(() => undefined);
    await first.journal.flush();
    await first.close();
    await interrupted;
    expect(query(directory, "SELECT count(*) FROM deletions")).toBe(1);

    const second = openStorage(directory);
    await second.journal.append([creation("next", { createTimeMs: 50, records: records("new") })]);
    while (query(directory, "SELECT count(*) FROM deletions") !== 0) {
      await second.journal.flush();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await second.journal.read(runStream("next"), 0, 10)).toEqual([{ sequence: 1, data: bytes("new") }]);
  });
});

describe("deleting very many runs", () => {
  it("shares its commits with others, in small batches", async () => {
    const disk = new TestDisk();
    const directory = temporaryDirectory();
    const { journal, payloads } = openStorage(directory, disk);
    const ids = Array.from({ length: 1_000 }, (_, index) => `r${index}`);
    for (const id of ids) {
      payloads.put(id, bytes(id));
      payloads.put(id, bytes(`result of ${id}`));
      void journal.append([creation(id, { key: id, retireAtMs: 1 })]);
    }
    await journal.flush();
    disk.syncs = 0;
    await payloads.deleteRuns(ids);
    await journal.deleteStreams(ids.map(runStream));

    expect(disk.syncs).toBeGreaterThan(2 * (1_000 / 64));
    for (const table of ["streams", "events", "payloads", "owners", "deletions"]) {
      expect([table, query(directory, `SELECT count(*) FROM ${table}`)]).toEqual([table, 0]);
    }
  });

  it("stops at close, and says so", async () => {
    const disk = new TestDisk();
    const { journal, close } = openStorage(temporaryDirectory(), disk);
    const ids = Array.from({ length: 1_000 }, (_, index) => `r${index}`);
    for (const id of ids) {
      void journal.append([creation(id)]);
    }
    await journal.flush();
    disk.hold();
    const deleting = journal.deleteStreams(ids.map(runStream)).catch((error: Error) => error);
    expect(await settled(deleting)).toBe("open");
    disk.release();
    await close();

    expect(await deleting).toMatchObject({ name: "JournalUnavailableError" });
  });
});

describe("owners", () => {
  it("stay as long as they have runs", async () => {
    const directory = temporaryDirectory();
    const { journal } = openStorage(directory);
    await journal.append([creation("a"), creation("b"), creation("c", { owner: { tenant: "t", subject: "s" } })]);
    await journal.deleteStreams([runStream("a"), runStream("c")]);

    expect(query(directory, "SELECT group_concat(subject) FROM owners")).toBe(owner.subject);
  });
});
