import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type Payload, type RunEvent, RunState } from "../../../gen/retake/v1/run_pb.js";
import { decodeEvent } from "../events.ts";
import { applyEvent, firstRecord, IllegalEventError, isTerminal, type RunRecord } from "../run-record.ts";
import { checkRecord } from "./check-records.ts";
import type { Findings } from "./findings.ts";
import { unpackRecords } from "./record-chunk.ts";
import { describe, isDamage } from "./sqlite-error.ts";

/** What the index says of a stream. */
interface StreamRow {
  readonly id: number;
  readonly name: string;
  readonly lastSequence: number;
  readonly state: number | null;
  readonly workflow: string | null;
  readonly tenant: string | null;
  readonly subject: string | null;
  readonly key: string | null;
  readonly parent: string | null;
  readonly retireAt: number | null;
}

const runPrefix = "run/";

/**
 * Reads every stream as the server does, and finds what is wrong: rows that cannot be read, numbers that are missing,
 * events that cannot follow each other, an index that says something else, and payloads that are not there. Yields after
 * each stream.
 */
export function* checkStreams(database: DatabaseSync, findings: Findings): Generator<void> {
  const check = new StreamCheck(database, findings);
  const streams = database.prepare(
    `SELECT streams.id, streams.name, last_sequence, state, workflows.name AS workflow, tenant, subject, key, parent,
      retire_at FROM streams LEFT JOIN workflows ON workflows.id = streams.workflow
      LEFT JOIN owners ON owners.id = streams.owner ORDER BY streams.id`,
  );
  for (const row of streams.iterate()) {
    check.stream({
      id: Number(row["id"]),
      name: String(row["name"]),
      lastSequence: Number(row["last_sequence"]),
      state: numberOf(row["state"]),
      workflow: textOf(row["workflow"]),
      tenant: textOf(row["tenant"]),
      subject: textOf(row["subject"]),
      key: textOf(row["key"]),
      parent: textOf(row["parent"]),
      retireAt: numberOf(row["retire_at"]),
    });
    yield;
  }
  const ownerless = database.prepare(
    `SELECT DISTINCT stream FROM events WHERE NOT EXISTS (SELECT 1 FROM streams WHERE id = stream)
      AND NOT EXISTS (SELECT 1 FROM deletions WHERE deletions.stream = events.stream)`,
  );
  for (const { stream } of ownerless.iterate()) {
    findings.problem(`there are events of stream number ${stream}, which is not there`);
    yield;
  }
  for (const { stream } of database.prepare("SELECT stream FROM deletions").iterate()) {
    findings.leftover(`events of the deleted stream number ${stream} are still there`);
    yield;
  }
}

class StreamCheck {
  readonly #findings: Findings;
  readonly #events: StatementSync;
  readonly #payload: StatementSync;
  readonly #anyPayload: StatementSync;

  constructor(database: DatabaseSync, findings: Findings) {
    this.#findings = findings;
    this.#events = database.prepare("SELECT last, count, data FROM events WHERE stream = ? ORDER BY last");
    this.#payload = database.prepare("SELECT size FROM payloads WHERE run = ? AND sha256 = ?");
    this.#anyPayload = database.prepare("SELECT 1 FROM payloads WHERE run = ? LIMIT 1");
  }

  stream(row: StreamRow): void {
    const isRun = row.id >= 0;
    if (isRun !== row.name.startsWith(runPrefix)) {
      this.#findings.problem(`stream ${row.name} has the number ${row.id}, which is none of its kind`);
      return;
    }
    const runId = isRun ? row.name.slice(runPrefix.length) : "";
    try {
      if (isRun) {
        this.#run(row, runId);
      } else {
        for (const { sequence, data } of this.#records(row)) {
          checkRecord(row.name, sequence, data);
        }
      }
    } catch (error) {
      if (!(error instanceof IllegalEventError || error instanceof RangeError || isDamage(error))) {
        throw error;
      }
      this.#findings.problem(`${row.name}: ${describe(error)}`, runId);
    }
  }

  #run(row: StreamRow, runId: string): void {
    let run: RunRecord | undefined;
    const missing = new Map<string, string>();
    for (const record of this.#records(row)) {
      const event = decodeEvent(row.name, record);
      run = run === undefined ? firstRecord(event) : applyEvent(run, event);
      this.#lookForPayload(event, runId, missing);
    }
    if (run === undefined) {
      throw new IllegalEventError("it has no events");
    }
    this.#compare(row, run, runId);
    // A deletion begins with the payloads of an ended run: where all are gone, it was under way.
    const deleting = isTerminal(run.state) && missing.size > 0 && this.#anyPayload.get(runId) === undefined;
    if (deleting) {
      this.#findings.leftover(`${row.name} was being deleted: its payloads are gone`, runId);
    } else {
      for (const problem of missing.values()) {
        this.#findings.problem(`${row.name}: ${problem}`, runId);
      }
    }
  }

  /** The records of a stream, counted. @throws IllegalEventError, RangeError */
  *#records(row: StreamRow): Generator<{ readonly sequence: number; readonly data: Uint8Array }> {
    let sequence = 0;
    for (const chunk of this.#events.iterate(row.id)) {
      const last = Number(chunk["last"]);
      const count = Number(chunk["count"]);
      if (count < 1 || last - count !== sequence) {
        throw new IllegalEventError(
          `behind record ${sequence} comes a row with records ${last - count + 1} to ${last}`,
        );
      }
      for (const data of unpackRecords(chunk["data"] as Uint8Array, count)) {
        yield { sequence: ++sequence, data };
      }
    }
    if (sequence !== row.lastSequence) {
      throw new IllegalEventError(`it has ${sequence} records, and the index says ${row.lastSequence}`);
    }
  }

  #compare(row: StreamRow, run: RunRecord, runId: string): void {
    const { accepted } = run;
    const facts: readonly (readonly [what: string, journal: unknown, index: unknown])[] = [
      ["state", RunState[run.state], row.state === null ? "none" : (RunState[row.state] ?? row.state)],
      ["id", accepted.runId, runId],
      ["workflow", accepted.workflow, row.workflow],
      ["owner", `${accepted.owner?.tenant}/${accepted.owner?.subject}`, `${row.tenant}/${row.subject}`],
      ["key", accepted.idempotencyKey, row.key ?? ""],
      ["parent", accepted.parentRunId, row.parent ?? ""],
    ];
    for (const [what, journal, index] of facts) {
      if (journal !== index) {
        this.#findings.problem(
          `${row.name}: its ${what} is ${journal} by its events, and ${index} by the index`,
          runId,
        );
      }
    }
    if (row.retireAt !== null && !isTerminal(run.state)) {
      this.#findings.problem(`${row.name}: it is open, and retention would delete it`, runId);
    }
  }

  #lookForPayload(event: RunEvent, runId: string, missing: Map<string, string>): void {
    const payload = payloadOf(event);
    if (payload === undefined || payload.sha256.length === 0) {
      return;
    }
    const size = this.#payload.get(runId, payload.sha256)?.["size"];
    const digest = Buffer.from(payload.sha256).toString("hex");
    if (size === undefined) {
      missing.set(digest, `payload ${digest} of event ${event.sequence} is not there`);
    } else if (!fits(Number(size), Number(payload.size))) {
      this.#findings.problem(
        `${runStreamName(runId)}: payload ${digest} has ${size} bytes by its table, and ${payload.size} by event ${event.sequence}`,
        runId,
      );
    }
  }
}

/** What an encrypted payload has besides its contents: a header with the key's id, a nonce and a tag. */
const sealBytes = { least: 35, most: 66 };

/** Whether a payload of so many bytes is stored in so many: an event tells of the contents, and a table of what is stored. */
function fits(stored: number, size: number): boolean {
  const more = stored - size;
  return more === 0 || (more >= sealBytes.least && more <= sealBytes.most);
}

function runStreamName(runId: string): string {
  return `${runPrefix}${runId}`;
}

function payloadOf({ event }: RunEvent): Payload | undefined {
  switch (event.case) {
    case "accepted":
      return event.value.input;
    case "stepCompleted":
    case "succeeded":
      return event.value.result;
    case "updateRecorded":
      return event.value.update;
    default:
      return undefined;
  }
}

function numberOf(value: unknown): number | null {
  return value === null ? null : Number(value);
}

function textOf(value: unknown): string | null {
  return value === null ? null : String(value);
}
