import { statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { runStream } from "../../../src/runs/ports/journal.ts";
import type { SizedOperation } from "../../../src/runs/sqlite/group-commit.ts";
import { IncrementalVacuum } from "../../../src/runs/sqlite/incremental-vacuum.ts";
import { openSqliteStorage } from "../../../src/runs/sqlite/index.ts";
import { wishForVacuum } from "../../../src/runs/sqlite/vacuum-mode.ts";
import { createVirtualClock, type VirtualClock } from "../../../src/testing/virtual-clock.ts";
import { creation } from "../ports/storage-harness.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

describe("IncrementalVacuum", () => {
  let clock: VirtualClock;
  let database: DatabaseSync;
  let steps: number[];
  let failing: boolean;

  beforeEach(() => {
    clock = createVirtualClock();
    steps = [];
    failing = false;
  });

  /** A database of so many pages, of which so many are free. */
  function withPages(pages: number, free: number, wish = true): IncrementalVacuum {
    database = new DatabaseSync(":memory:");
    onTestFinished(() => database.close());
    if (wish) wishForVacuum(database);
    database.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)");
    const insert = database.prepare("INSERT INTO t VALUES (?, zeroblob(4000))");
    for (let id = 0; count("page_count") < pages; id++) insert.run(id);
    // Every second one, so that what stays has to be moved.
    for (let id = 0; count("freelist_count") < free && id < pages; id += 2) {
      database.exec(`DELETE FROM t WHERE id = ${id}`);
    }
    return new IncrementalVacuum({ database, enqueue: apply, clock, pagesKept: 10 });
  }

  function apply(operation: SizedOperation): void {
    if (failing) {
      operation.settle(new Error("the disk is full"));
      return;
    }
    const before = count("page_count");
    database.exec("BEGIN");
    operation.apply();
    database.exec("COMMIT");
    steps.push(before - count("page_count"));
    expect(operation.bytes).toBeGreaterThanOrEqual((steps.at(-1) ?? 0) * 4_096);
    operation.settle(undefined);
  }

  function count(pragma: string): number {
    return Number(database.prepare(`PRAGMA ${pragma}`).get()?.[pragma]);
  }

  it("gives pages back a few at a time with pauses, until an eighth is free, and loses nothing", async () => {
    const vacuum = withPages(1_000, 400);
    const rows = database.prepare("SELECT count(*) AS rows FROM t").get();
    vacuum.consider();
    vacuum.consider();
    await clock.advance(19);
    expect(steps).toEqual([]);
    await clock.advance(1);
    expect(steps.length).toBe(1);
    await clock.advance(10_000);

    expect(Math.max(...steps)).toBeLessThanOrEqual(65);
    expect(steps.length).toBeGreaterThan(3);
    expect(count("freelist_count") / count("page_count")).toBeCloseTo(1 / 8, 1);
    expect(database.prepare("SELECT count(*) AS rows FROM t").get()).toEqual(rows);
    expect(database.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
  });

  it.each([
    ["a quarter or less is free", 1_000, 240],
    ["only what is kept in any case is free", 20, 10],
  ])("does nothing while %s", async (_, pages, free) => {
    withPages(pages, free).consider();
    await clock.advance(1_000);

    expect(steps).toEqual([]);
  });

  it("does nothing with a database that has not been rewritten for it", async () => {
    withPages(1_000, 500, false).consider();
    await clock.advance(1_000);

    expect(steps).toEqual([]);
  });

  it("gives up when the storage fails, until something is deleted again", async () => {
    const vacuum = withPages(1_000, 400);
    failing = true;
    vacuum.consider();
    await clock.advance(1_000);
    failing = false;
    await clock.advance(1_000);
    expect(steps).toEqual([]);
    vacuum.consider();
    await clock.advance(1_000);

    expect(steps.length).toBeGreaterThan(3);
  });

  it("stops in between", async () => {
    const vacuum = withPages(1_000, 400);
    vacuum.consider();
    await clock.advance(20);
    vacuum.stop();
    await clock.advance(1_000);
    vacuum.consider();
    await clock.advance(1_000);

    expect(steps.length).toBe(1);
  });
});

describe("a storage", () => {
  it("becomes smaller after runs have been deleted", async () => {
    const clock = createVirtualClock();
    const directory = temporaryDirectory();
    const { journal, payloads, close } = openSqliteStorage({ directory, clock, sync: async () => undefined });
    const ids = Array.from({ length: 150 }, (_, index) => `r${index}`);
    for (const id of ids) {
      payloads.put(id, new Uint8Array(150_000).fill(Number(id.slice(1))));
      void journal.append([creation(id)]);
    }
    await journal.flush();
    const path = join(directory, "retake.db");
    await payloads.deleteRuns(ids);
    await journal.deleteStreams(ids.map(runStream));
    const full = pages();
    for (let step = 0; step < 100; step++) {
      await clock.advance(20);
      await journal.flush();
    }
    const left = pages();
    await close();

    function pages(): number {
      const database = new DatabaseSync(path, { readOnly: true });
      try {
        return Number(database.prepare("PRAGMA page_count").get()?.["page_count"]);
      } finally {
        database.close();
      }
    }
    expect(full).toBeGreaterThan(5_000);
    expect(left).toBeLessThan(2_200);
    expect(statSync(path).size).toBe(left * 4_096);
  });
});
