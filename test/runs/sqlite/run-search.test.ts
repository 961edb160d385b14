import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import type { RunFilter } from "../../../src/runs/ports/journal.ts";
import { migrate } from "../../../src/runs/sqlite/migrate.ts";
import { migrations } from "../../../src/runs/sqlite/migrations.ts";
import { PayloadTable } from "../../../src/runs/sqlite/payload-table.ts";
import { RunNames } from "../../../src/runs/sqlite/run-names.ts";
import { pageSql, planWalks, RunSearch, windowSql } from "../../../src/runs/sqlite/run-search.ts";
import { StreamTable } from "../../../src/runs/sqlite/stream-table.ts";
import { positionAt } from "../../../src/runs/storage/positions.ts";
import { owner } from "../ports/storage-harness.ts";

const program = { name: "retake", version: "1.0.0", directory: "/data" };
const count = 30_000;

/**
 * 30,000 succeeded runs, one a millisecond from 1 on, half of each of two workflows, all of one owner. One run in 10,000
 * failed, of the first workflow; the five newest are queued.
 */
function populate(database: DatabaseSync): void {
  migrate(database, migrations, program);
  database.exec(`
    INSERT INTO workflows VALUES (1, 'w/even'), (2, 'w/odd'), (3, 'w/rare');
    INSERT INTO owners VALUES (1, '${owner.tenant}', '${owner.subject}'), (2, 'default', 'bob'), (3, 't2', 'eve');
    INSERT INTO streams (id, name, last_sequence, state, workflow, owner)
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
      SELECT i * 1024, 'run/' || i, 3,
        CASE WHEN i % 10000 = 0 THEN 8 WHEN i > ${count} - 5 THEN 1 ELSE 7 END,
        1 + i % 2, 1 FROM n;
    UPDATE streams SET workflow = 3 WHERE id = ${positionAt(17)};
    UPDATE streams SET owner = 2 WHERE id = ${positionAt(19)};
    UPDATE streams SET owner = 3 WHERE id IN (${positionAt(21)}, ${positionAt(23)});
  `);
}

describe("RunSearch", () => {
  let database: DatabaseSync;
  let search: RunSearch;

  beforeAll(() => {
    database = new DatabaseSync(":memory:");
    populate(database);
    search = new RunSearch(database, new RunNames(database));
  });

  afterAll(() => database.close());

  /** The ids that a search finds, and how many pauses it made. */
  async function find(filter: RunFilter, limit = 3): Promise<{ found: string[]; pauses: number }> {
    let pauses = 0;
    const rows = await search.find(filter, { limit }, async () => {
      pauses++;
    });
    return { found: rows.map(({ runId }) => runId), pauses };
  }

  it.each<[string, RunFilter, string[], number]>([
    ["everything", {}, ["30000", "29999", "29998"], 0],
    ["a workflow", { workflow: "w/odd" }, ["29999", "29997", "29995"], 0],
    ["an owner with one old run", { owner: { tenant: "default", subject: "bob" } }, ["19"], 0],
    ["a tenant with few old runs", { tenant: "t2" }, ["23", "21"], 0],
    ["a tenant that most are of", { tenant: "default" }, ["30000", "29999", "29998"], 0],
    ["a tenant that is not known", { tenant: "t3" }, [], 0],
    ["a rare state in a tenant", { tenant: "default", states: [RunState.FAILED] }, ["30000", "20000", "10000"], 1],
    [
      "a rare tenant's runs in a state that most are in",
      { tenant: "t2", states: [RunState.SUCCEEDED] },
      ["23", "21"],
      0,
    ],
    ["a workflow with one old run", { workflow: "w/rare" }, ["17"], 0],
    ["a state that few are in", { states: [RunState.FAILED] }, ["30000", "20000", "10000"], 0],
    ["several such states", { states: [RunState.FAILED, RunState.QUEUED] }, ["30000", "29999", "29998"], 0],
    ["a state that most are in", { states: [RunState.SUCCEEDED] }, ["29995", "29994", "29993"], 0],
    ["a time", { createdSinceMs: 100, createdBeforeMs: 102 }, ["101", "100"], 0],
    ["a state in a time", { states: [RunState.SUCCEEDED], createdBeforeMs: 3 }, ["2", "1"], 0],
    // The index of states answers at its first step, after one step of each other index.
    ["a rare state of an owner", { owner, states: [RunState.FAILED] }, ["30000", "20000", "10000"], 1],
    [
      "a rare state of a workflow of an owner",
      { owner, workflow: "w/even", states: [RunState.FAILED, RunState.CANCELLED] },
      ["30000", "20000", "10000"],
      2,
    ],
    ["an owner's run of a rare workflow", { owner, workflow: "w/rare" }, ["17"], 1],
    ["a rare owner's run of a workflow", { owner: { tenant: "default", subject: "bob" }, workflow: "w/even" }, [], 0],
  ])("finds %s without walking over the others", async (_, filter, expected, pauses) => {
    expect(await find(filter)).toEqual({ found: expected, pauses });
  });

  it("walks in steps, and lets other work go on in between, when nothing else helps", async () => {
    // Every run is one of the owner's, and none is of both workflows and states.
    const filter = { owner, states: [RunState.SUCCEEDED, RunState.FAILED], createdBeforeMs: 5_000 };
    expect((await find({ ...filter, workflow: "w/rare" })).pauses).toBe(1);
    const all = await find({ ...filter, createdBeforeMs: count + 1, states: [RunState.SUCCEEDED] }, 29_000);
    expect(all.found).toHaveLength(29_000);
    expect(all.pauses).toBe(14);
    expect(new Set(all.found).size).toBe(29_000);
  });

  it("looks through the newest runs for a tenant with very many owners", async () => {
    const owners = Array.from({ length: 60 }, (_, index) => `(${100 + index}, 'many', 'owner ${index}')`);
    database.exec(`INSERT INTO owners VALUES ${owners.join(", ")}`);
    database.exec("UPDATE streams SET owner = 100 + (id / 1024) % 60 WHERE id > 29990 * 1024");
    try {
      expect(await find({ tenant: "many" })).toEqual({ found: ["30000", "29999", "29998"], pauses: 0 });
      const one = await find({ tenant: "many", createdBeforeMs: 29_992 });
      expect(one.found).toEqual(["29991"]);
    } finally {
      database.exec("UPDATE streams SET owner = 1 WHERE id > 29990 * 1024; DELETE FROM owners WHERE id >= 100");
    }
  });

  it("takes few milliseconds for a state behind very many others", async () => {
    const { found, pauses } = await find({ states: [RunState.SUCCEEDED], createdBeforeMs: 2 });
    expect([found, pauses]).toEqual([["1"], 0]);
    database.exec("UPDATE streams SET state = 1 WHERE id > 5 * 1024");
    try {
      const behind = await find({ states: [RunState.SUCCEEDED] });
      expect(behind).toEqual({ found: ["5", "4", "3"], pauses: 14 });
    } finally {
      database.exec("UPDATE streams SET state = 7 WHERE id > 5 * 1024");
    }
  });
});

describe("statements", () => {
  let database: DatabaseSync;

  /** What SQLite does for a statement, a line a step. */
  function plan(sql: string): string[] {
    return database
      .prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .all()
      .map(({ detail }) => String(detail));
  }

  beforeAll(() => {
    database = new DatabaseSync(":memory:");
    migrate(database, migrations, program);
  });

  afterAll(() => database.close());

  it("answer every filter and every combination by an index, without sorting", () => {
    const values: RunFilter[] = [
      { workflow: "w" },
      { owner },
      { tenant: "t" },
      { parentRunId: "p" },
      { states: [RunState.QUEUED] },
      { states: [RunState.QUEUED, RunState.RUNNING, RunState.FAILED] },
      { states: [RunState.SUCCEEDED] },
      { states: [RunState.SUCCEEDED, RunState.FAILED] },
    ];
    let walked = 0;
    for (let chosen = 0; chosen < 2 ** values.length; chosen++) {
      const filter = Object.assign({}, ...values.filter((_, index) => chosen & (2 ** index)));
      for (const walk of planWalks(filter, [1, 2, 3])) {
        for (const sql of [pageSql(walk), windowSql(walk)]) {
          walked++;
          const steps = plan(sql);
          expect(
            steps.filter((step) => !/^(SEARCH|MERGE|LEFT|RIGHT)/.test(step)),
            sql,
          ).toEqual([]);
          const searches = steps.filter((step) => step.startsWith("SEARCH"));
          expect(searches.length, sql).toBe(walk.arms.length);
          for (const step of searches) {
            // Positions narrow every index down: pages and times cost what they show.
            expect(step, sql).toMatch(
              /^SEARCH streams USING ((COVERING )?INDEX streams_by_\w+ \(\w+=\? AND rowid>\? AND rowid<\?\)|INTEGER PRIMARY KEY \(rowid>\? AND rowid<\?\))$/,
            );
          }
        }
      }
    }
    expect(walked).toBeGreaterThan(200);
  });

  it("never go through a table or sort it", () => {
    const { prepare } = DatabaseSync.prototype;
    const statements: string[] = [];
    database.prepare = (sql: string) => {
      statements.push(sql);
      return prepare.call(database, sql);
    };
    const names = new RunNames(database);
    new StreamTable(database, names);
    new PayloadTable(database);
    new RunSearch(database, names);
    Reflect.deleteProperty(database, "prepare");

    expect(statements.length).toBeGreaterThan(30);
    for (const sql of statements) {
      const costly = plan(sql).filter(
        (step) =>
          /^SCAN|TEMP B-TREE/.test(step) &&
          // The first of the few streams that are being deleted, and the few ids of a compound of four.
          !/^SCAN (deletions|CONSTANT ROW|\(subquery|CO-ROUTINE)/.test(step),
      );
      expect(costly, sql).toEqual([]);
    }
  });
});
