import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { RunState } from "../../../gen/retake/v1/run_pb.js";
import type { RunFilter, RunIndexRow, RunOwner, RunPage } from "../ports/journal.ts";
import { positionAt } from "../storage/positions.ts";
import type { RunNames } from "./run-names.ts";
import { succeeded } from "./succeeded.ts";

/** Candidates that one step looks at: about 1 ms on the event loop, and few steps for any page that is not rare. */
const candidatesAtOnce = 2_000;
/** Owners of a tenant whose runs are merged; with more of them, the newest runs of all are looked through. */
const mostArms = 50;
/** Filters come in few shapes; beyond that many their statements are prepared again. */
const rememberedStatements = 100;

const columns = "id, name, workflow, state, last_sequence";

type Parameters = Record<string, SQLInputValue>;

/** A way through the runs, newest first: one index, or the merge of equal parts of one. */
interface Walk {
  /** What is read, and the conditions that its index answers. */
  readonly arms: readonly { readonly source: string; readonly condition: string }[];
  /** The conditions that are left to look at each candidate. */
  readonly rest: readonly string[];
}

/**
 * Finds runs by any filter. Each filter has an index that is walked from the newest run back, so a page costs what is
 * walked over: where several filters are given and one index cannot answer all, it walks every index that may do, in
 * turns and in small steps with pauses in between, and the first that fills the page wins. The price of a search is
 * thus the cheapest way's times the number of ways, and the event loop is never held for longer than a step.
 */
export class RunSearch {
  readonly #database: DatabaseSync;
  readonly #names: RunNames;
  readonly #statements = new Map<string, StatementSync>();
  readonly #byKey: StatementSync;

  constructor(database: DatabaseSync, names: RunNames) {
    this.#database = database;
    this.#names = names;
    this.#byKey = database.prepare(
      `SELECT ${columns} FROM streams WHERE owner = ? AND workflow = ? AND key = ? ORDER BY id DESC LIMIT 1`,
    );
  }

  /** @param pause lets other work go on between two steps */
  async find(filter: RunFilter, page: RunPage, pause: () => Promise<void>): Promise<readonly RunIndexRow[]> {
    const parameters = this.#parameters(filter);
    if (parameters === undefined || page.limit <= 0) {
      return [];
    }
    const upper = Math.min(
      page.beforePosition ?? Number.MAX_SAFE_INTEGER,
      filter.createdBeforeMs === undefined ? Number.MAX_SAFE_INTEGER : positionAt(filter.createdBeforeMs),
    );
    const lower = positionAt(filter.createdSinceMs ?? 0);
    const owners = filter.tenant === undefined ? undefined : this.#names.ownerIdsIn(filter.tenant, mostArms + 1);
    if (owners?.length === 0) {
      return [];
    }
    if (owners !== undefined && owners.length > mostArms) {
      parameters["tenant"] = filter.tenant ?? "";
    }
    const walkers = planWalks(filter, owners).map((walk) => this.#walker(walk, parameters, lower, upper, page.limit));
    for (;;) {
      for (const walker of walkers) {
        if (walker.step()) {
          return walker.rows;
        }
        await pause();
      }
    }
  }

  findByKey(owner: RunOwner, workflow: string, key: string): RunIndexRow | undefined {
    const ownerId = this.#names.findOwnerId(owner);
    const workflowId = this.#names.findWorkflowId(workflow);
    if (ownerId === undefined || workflowId === undefined) {
      return undefined;
    }
    const row = this.#byKey.get(ownerId, workflowId, key);
    return row === undefined ? undefined : this.#row(row);
  }

  /** The values that a filter looks for; undefined when nothing can match. */
  #parameters(filter: RunFilter): Parameters | undefined {
    const parameters: Parameters = {};
    if (filter.workflow !== undefined) {
      const workflow = this.#names.findWorkflowId(filter.workflow);
      if (workflow === undefined) {
        return undefined;
      }
      parameters["workflow"] = workflow;
    }
    if (filter.owner !== undefined) {
      const owner = this.#names.findOwnerId(filter.owner);
      if (owner === undefined) {
        return undefined;
      }
      parameters["owner"] = owner;
    }
    if (filter.parentRunId !== undefined) {
      parameters["parent"] = filter.parentRunId;
    }
    return parameters;
  }

  #walker(walk: Walk, parameters: Parameters, lower: number, upper: number, limit: number): Walker {
    return new Walker({
      page: this.#statement(pageSql(walk)),
      // Where an index answers everything, nothing is walked over in vain.
      window: walk.rest.length === 0 ? undefined : this.#statement(windowSql(walk)),
      parameters,
      indexParameters: Object.fromEntries(
        Object.entries(parameters).filter(([name]) =>
          walk.arms.some(({ condition }) => condition.includes(`:${name}`)),
        ),
      ),
      lower,
      upper,
      limit,
      toRow: (row) => this.#row(row),
    });
  }

  #row(row: Record<string, unknown>): RunIndexRow {
    return {
      runId: String(row["name"]).slice("run/".length),
      workflow: this.#names.workflowName(Number(row["workflow"])),
      state: Number(row["state"]) as RunState,
      lastSequence: Number(row["last_sequence"]),
      position: Number(row["id"]),
    };
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) {
      return known;
    }
    if (this.#statements.size >= rememberedStatements) {
      this.#statements.clear();
    }
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

interface WalkerOptions {
  readonly page: StatementSync;
  readonly window: StatementSync | undefined;
  readonly parameters: Parameters;
  readonly indexParameters: Parameters;
  readonly lower: number;
  readonly upper: number;
  readonly limit: number;
  readonly toRow: (row: Record<string, unknown>) => RunIndexRow;
}

class Walker {
  readonly rows: RunIndexRow[] = [];
  readonly #options: WalkerOptions;
  #upper: number;

  constructor(options: WalkerOptions) {
    this.#options = options;
    this.#upper = options.upper;
  }

  /** Looks at some candidates; returns whether the page is full, or there is nothing left to look at. */
  step(): boolean {
    const { page, window, parameters, indexParameters, lower, limit, toRow } = this.#options;
    const upper = this.#upper;
    const floor = window?.get({ ...indexParameters, lower, upper })?.["id"];
    const from = floor === undefined ? lower : Number(floor);
    for (const row of page.all({ ...parameters, lower: from, upper, limit: limit - this.rows.length })) {
      this.rows.push(toRow(row));
    }
    this.#upper = from;
    return floor === undefined || this.rows.length >= limit;
  }
}

/**
 * The ways that lead to what a filter looks for; which is the shortest depends on the runs that there are.
 *
 * @param tenantOwners the owners in the filter's tenant, or more than `mostArms` of them
 */
export function planWalks(filter: RunFilter, tenantOwners: readonly number[] = []): readonly Walk[] {
  const states = [...new Set(filter.states)].sort((a, b) => a - b);
  const conditions = {
    parent: filter.parentRunId === undefined ? undefined : "parent = :parent",
    owner: filter.owner === undefined ? undefined : "owner = :owner",
    tenant: filter.tenant === undefined ? undefined : ownersIn(tenantOwners),
    workflow: filter.workflow === undefined ? undefined : "workflow = :workflow",
    states: states.length === 0 ? undefined : `state IN (${states.map((state) => Math.trunc(state)).join(", ")})`,
  };
  const walks: Walk[] = [];
  const add = (name: keyof typeof conditions, arms: Walk["arms"]): void => {
    const rest = Object.entries(conditions).flatMap(([other, condition]) =>
      other === name || condition === undefined ? [] : [condition],
    );
    walks.push({ arms, rest });
  };
  if (conditions.parent !== undefined) {
    // A run has few children.
    add("parent", [{ source: "streams INDEXED BY streams_by_parent", condition: conditions.parent }]);
    return walks;
  }
  if (conditions.owner !== undefined) {
    add("owner", [{ source: "streams INDEXED BY streams_by_owner", condition: conditions.owner }]);
  }
  if (conditions.tenant !== undefined && tenantOwners.length <= mostArms) {
    add(
      "tenant",
      tenantOwners.map((id) => ({
        source: "streams INDEXED BY streams_by_owner",
        condition: `owner = ${Math.trunc(id)}`,
      })),
    );
  }
  if (conditions.workflow !== undefined) {
    add("workflow", [{ source: "streams INDEXED BY streams_by_workflow", condition: conditions.workflow }]);
  }
  if (states.length > 0 && !states.includes(succeeded)) {
    // One part a state: SQLite merges parts, but would sort what it finds with IN.
    add(
      "states",
      states.map((state) => ({
        source: "streams INDEXED BY streams_by_state",
        condition: `state <> ${succeeded} AND state = ${Math.trunc(state)}`,
      })),
    );
  }
  if (walks.length === 0) {
    // What is left is states that most runs are in, or a tenant with many owners, which has many runs: the newest runs are
    // looked at one by one.
    const rest = [conditions.states, conditions.tenant].filter((condition) => condition !== undefined);
    walks.push({ arms: [{ source: "streams NOT INDEXED", condition: "TRUE" }], rest });
  }
  return walks;
}

function ownersIn(tenantOwners: readonly number[]): string {
  return tenantOwners.length <= mostArms
    ? `owner IN (${tenantOwners.map(Math.trunc).join(", ")})`
    : "owner IN (SELECT id FROM owners WHERE tenant = :tenant)";
}

/** The runs of a walk within a range of positions. */
export function pageSql(walk: Walk): string {
  return `${union(walk, columns, walk.rest)} ORDER BY id DESC LIMIT :limit`;
}

/** Down to where one step goes. */
export function windowSql(walk: Walk): string {
  return `${union(walk, "id", [])} ORDER BY id DESC LIMIT 1 OFFSET ${candidatesAtOnce - 1}`;
}

function union({ arms }: Walk, selected: string, rest: readonly string[]): string {
  return arms
    .map(({ source, condition }) =>
      [`SELECT ${selected} FROM ${source} WHERE ${condition} AND id >= :lower AND id < :upper`, ...rest].join(" AND "),
    )
    .join(" UNION ALL ");
}
