import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { RunState } from "../../../gen/retake/v1/run_pb.js";
import type { EndedCount, EndedFilter, EndedRun } from "../ports/journal.ts";
import { positionAt } from "../storage/positions.ts";
import type { RunNames } from "./run-names.ts";
import { succeeded } from "./succeeded.ts";

/** Rows that one step looks at: about 1 ms. */
const rowsAtOnce = 2_000;

/** A way through the runs, oldest first. */
interface Way {
  readonly source: string;
  readonly condition: string;
  readonly parameters: Record<string, SQLInputValue>;
}

/**
 * Counts and lists ended runs for retention. Each walks an index in small steps with pauses in between; succeeded runs,
 * which have none, are met in the order of the table. Only runs without a parent have a time to be deleted at.
 */
export class EndedRuns {
  readonly #database: DatabaseSync;
  readonly #names: RunNames;
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync, names: RunNames) {
    this.#database = database;
    this.#names = names;
  }

  /** @param pause lets other work go on between two steps */
  async count(pause: () => Promise<void>): Promise<readonly EndedCount[]> {
    const counts = new Map<string, { workflow: string; state: RunState; count: number }>();
    const way: Way = { source: "streams", condition: "id >= 0", parameters: {} };
    for (let after = -1; ; await pause()) {
      const upper = this.#upper(way, after);
      const rows = this.#prepare(
        "SELECT workflow, state, count(*) AS count FROM streams " +
          "WHERE id > :after AND id <= :upper AND retire_at IS NOT NULL GROUP BY workflow, state",
      ).all({ after, upper: upper ?? Number.MAX_SAFE_INTEGER });
      for (const row of rows) {
        const key = `${row["workflow"]} ${row["state"]}`;
        const counted = counts.get(key) ?? {
          workflow: this.#names.workflowName(Number(row["workflow"])),
          state: Number(row["state"]) as RunState,
          count: 0,
        };
        counts.set(key, counted);
        counted.count += Number(row["count"]);
      }
      if (upper === undefined) {
        return [...counts.values()];
      }
      after = upper;
    }
  }

  /** @param pause lets other work go on between two steps */
  async list(
    filter: EndedFilter,
    afterPosition: number,
    limit: number,
    pause: () => Promise<void>,
  ): Promise<readonly EndedRun[]> {
    const way = this.#way(filter);
    const runs: EndedRun[] = [];
    if (way === undefined || limit <= 0) {
      return runs;
    }
    for (let after = afterPosition; ; await pause()) {
      const upper = this.#upper(way, after);
      const rows = this.#prepare(
        `SELECT id, name, workflow, last_sequence, key IS NOT NULL AS keyed FROM ${way.source} WHERE ${way.condition} ` +
          "AND id > :after AND id <= :upper AND state = :state AND retire_at IS NOT NULL " +
          "AND (key IS NULL OR id < :keyedBefore) ORDER BY id LIMIT :limit",
      ).all({
        ...way.parameters,
        after,
        upper: upper ?? Number.MAX_SAFE_INTEGER,
        state: filter.state,
        keyedBefore: positionAt(filter.keyedBeforeMs),
        limit: limit - runs.length,
      });
      for (const row of rows) {
        runs.push({
          runId: String(row["name"]).slice("run/".length),
          workflow: this.#names.workflowName(Number(row["workflow"])),
          state: filter.state,
          lastSequence: Number(row["last_sequence"]),
          position: Number(row["id"]),
          keyed: row["keyed"] === 1,
        });
      }
      if (runs.length >= limit || upper === undefined) {
        return runs;
      }
      after = upper;
    }
  }

  #way({ state, workflow }: EndedFilter): Way | undefined {
    if (workflow !== undefined) {
      const id = this.#names.findWorkflowId(workflow);
      return id === undefined
        ? undefined
        : {
            source: "streams INDEXED BY streams_by_workflow",
            condition: "workflow = :workflow",
            parameters: { workflow: id },
          };
    }
    return state === succeeded
      ? { source: "streams", condition: "id >= 0", parameters: {} }
      : {
          source: "streams INDEXED BY streams_by_state",
          condition: `state = ${Number(state)} AND state <> ${succeeded}`,
          parameters: {},
        };
  }

  /** The position at which a step ends; undefined for the last one. */
  #upper({ source, condition, parameters }: Way, after: number): number | undefined {
    const id = this.#prepare(
      `SELECT id FROM ${source} WHERE ${condition} AND id > :after ORDER BY id LIMIT 1 OFFSET ${rowsAtOnce - 1}`,
    ).get({ ...parameters, after })?.["id"];
    return id === undefined ? undefined : Number(id);
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}
