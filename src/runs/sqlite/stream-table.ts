import type { DatabaseSync, StatementSync } from "node:sqlite";
import { JournalConflictError, type JournalRecord, type StreamAppend } from "../ports/journal.ts";
import { Positions } from "../storage/positions.ts";
import { packRecords, unpackRecords } from "./record-chunk.ts";
import type { RunNames } from "./run-names.ts";
import { succeeded } from "./succeeded.ts";

/** Where a stream stands. */
interface Head {
  readonly id: number;
  lastSequence: number;
  state: number | null;
}

/** Streams that are being written are remembered, about so many; others cost one look-up. */
const rememberedHeads = 10_000;

/** Events that one transaction deletes of a stream: about 2 ms. */
const deletedAtOnce = 1_000;

/** The streams and their events. Every method runs within a transaction of the caller or reads what is committed. */
export class StreamTable {
  readonly #names: RunNames;
  readonly #heads = new Map<string, Head>();
  readonly #positions: Positions;
  #lowestId: number;
  readonly #find: StatementSync;
  readonly #insert: StatementSync;
  readonly #advance: StatementSync;
  readonly #advanceState: StatementSync;
  readonly #advanceEnd: StatementSync;
  readonly #insertEvents: StatementSync;
  readonly #readEvents: StatementSync;
  readonly #list: StatementSync;
  readonly #retired: StatementSync;
  readonly #deleteStream: StatementSync;
  readonly #deleteEvents: StatementSync;
  readonly #deleteEventsThrough: StatementSync;
  readonly #cutAfter: StatementSync;
  readonly #deferDeletion: StatementSync;
  readonly #nextDeletion: StatementSync;
  readonly #endDeletion: StatementSync;

  constructor(database: DatabaseSync, names: RunNames) {
    this.#names = names;
    this.#find = database.prepare("SELECT id, last_sequence, state, owner FROM streams WHERE name = ?");
    this.#insert = database.prepare(
      "INSERT INTO streams (id, name, last_sequence, state, workflow, owner, key, parent, retire_at) " +
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
    );
    this.#advance = database.prepare("UPDATE streams SET last_sequence = ? WHERE id = ?");
    this.#advanceState = database.prepare("UPDATE streams SET last_sequence = ?, state = ? WHERE id = ?");
    this.#advanceEnd = database.prepare("UPDATE streams SET last_sequence = ?, state = ?, retire_at = ? WHERE id = ?");
    this.#insertEvents = database.prepare("INSERT INTO events (stream, last, count, data) VALUES (?, ?, ?, ?)");
    this.#readEvents = database.prepare(
      "SELECT last, count, data FROM events WHERE stream = (SELECT id FROM streams WHERE name = ?) AND last > ? " +
        "ORDER BY last LIMIT ?",
    );
    this.#list = database.prepare(
      "SELECT name FROM streams WHERE name >= ? AND name < ? AND name <> ? ORDER BY name LIMIT ?",
    );
    this.#retired = database.prepare("SELECT name FROM streams WHERE retire_at <= ? ORDER BY retire_at, id LIMIT ?");
    this.#deleteStream = database.prepare("DELETE FROM streams WHERE id = ?");
    this.#deleteEvents = database.prepare("DELETE FROM events WHERE stream = ?");
    this.#cutAfter = database.prepare(
      `SELECT last FROM events WHERE stream = ? ORDER BY last LIMIT 1 OFFSET ${deletedAtOnce - 1}`,
    );
    this.#deleteEventsThrough = database.prepare("DELETE FROM events WHERE stream = ? AND last <= ?");
    this.#deferDeletion = database.prepare("INSERT INTO deletions (stream) VALUES (?)");
    this.#nextDeletion = database.prepare("SELECT stream FROM deletions LIMIT 1");
    this.#endDeletion = database.prepare("DELETE FROM deletions WHERE stream = ?");

    // An id whose events are still being deleted is taken too.
    const ids = database
      .prepare(
        "SELECT min(id) AS lowest, max(id) AS newest FROM " +
          "(SELECT min(id) AS id FROM streams UNION ALL SELECT max(id) FROM streams " +
          "UNION ALL SELECT min(stream) FROM deletions UNION ALL SELECT max(stream) FROM deletions)",
      )
      .get();
    const largestTaken = database.prepare(
      "SELECT max(id) AS id FROM (SELECT max(id) AS id FROM streams WHERE id >= ?1 AND id < ?2 " +
        "UNION ALL SELECT max(stream) FROM deletions WHERE stream >= ?1 AND stream < ?2)",
    );
    this.#lowestId = Math.min(0, Number(ids?.["lowest"] ?? 0));
    this.#positions = new Positions(Number(ids?.["newest"] ?? -1), (from, before) => {
      const id = largestTaken.get(from, before)?.["id"];
      return typeof id === "number" ? id : undefined;
    });
  }

  /** @throws JournalConflictError; whatever else it has changed must then be rolled back */
  append(appends: readonly StreamAppend[]): void {
    for (const append of appends) {
      this.#append(append);
    }
  }

  /** The records after a sequence number; none for an unknown stream. */
  read(stream: string, afterSequence: number, limit: number): readonly JournalRecord[] {
    const records: JournalRecord[] = [];
    if (limit <= 0) {
      return records;
    }
    for (const row of this.#readEvents.iterate(stream, afterSequence, limit)) {
      const last = Number(row["last"]);
      const count = Number(row["count"]);
      let sequence = last - count;
      for (const data of unpackRecords(row["data"] as Uint8Array, count)) {
        sequence++;
        if (sequence > afterSequence && records.length < limit) {
          records.push({ sequence, data });
        }
      }
      if (records.length === limit) {
        break;
      }
    }
    return records;
  }

  list(prefix: string, afterName: string, limit: number): readonly string[] {
    // One lower bound: of two, SQLite would walk from the first and filter by the second.
    const from = Buffer.compare(Buffer.from(afterName), Buffer.from(prefix)) > 0 ? afterName : prefix;
    return this.#list.all(from, afterPrefix(prefix), afterName, limit).map((row) => String(row["name"]));
  }

  /** Names of the runs that retention may delete at that time. */
  retired(timeMs: number, limit: number): readonly string[] {
    return this.#retired.all(timeMs, limit).map((row) => String(row["name"]));
  }

  /** Deletes streams; of a long one the events are only marked, for `deleteMarked`. Returns whether any are. */
  delete(streams: readonly string[]): boolean {
    let marked = false;
    for (const stream of streams) {
      const row = this.#find.get(stream);
      if (row === undefined) {
        continue;
      }
      const id = Number(row["id"]);
      this.#heads.delete(stream);
      this.#deleteStream.get(id);
      if (Number(row["last_sequence"]) > deletedAtOnce) {
        this.#deferDeletion.get(id);
        marked = true;
      } else {
        this.#deleteEvents.get(id);
      }
      if (row["owner"] !== null) {
        this.#names.releaseOwner(Number(row["owner"]));
      }
    }
    return marked;
  }

  /** Whether an earlier process has left events marked. */
  get hasMarked(): boolean {
    return this.#nextDeletion.get() !== undefined;
  }

  /** Deletes a portion of the events that are marked; returns whether there were any. */
  deleteMarked(): boolean {
    const stream = this.#nextDeletion.get()?.["stream"];
    if (stream === undefined) {
      return false;
    }
    const through = this.#cutAfter.get(Number(stream))?.["last"];
    if (through === undefined) {
      this.#deleteEvents.get(Number(stream));
      this.#endDeletion.get(Number(stream));
    } else {
      this.#deleteEventsThrough.get(Number(stream), Number(through));
    }
    return true;
  }

  /** Forgets what is remembered, because a rollback may have taken it back. */
  forget(): void {
    this.#heads.clear();
    this.#names.forget();
  }

  #append(append: StreamAppend): void {
    const { stream, expectedSequence, records, state } = append;
    const lastSequence = expectedSequence + records.length;
    let head: Head | undefined;
    if (expectedSequence === 0) {
      head = this.#create(append, lastSequence);
    } else {
      head = this.#head(stream);
      if (head?.lastSequence !== expectedSequence) {
        throw new JournalConflictError(stream, expectedSequence);
      }
      if (records.length === 0 && state === undefined) {
        return;
      }
      if (append.retireAtMs !== undefined) {
        head.state = state ?? head.state;
        this.#advanceEnd.get(lastSequence, head.state, wholeMs(append.retireAtMs), head.id);
      } else if (state !== undefined && state !== head.state) {
        head.state = state;
        this.#advanceState.get(lastSequence, state, head.id);
      } else {
        this.#advance.get(lastSequence, head.id);
      }
      head.lastSequence = lastSequence;
    }
    if (records.length > 0) {
      this.#insertEvents.get(head.id, lastSequence, records.length, packRecords(records));
    }
    if (head.state !== null && head.state >= succeeded) {
      // An ended run is never written again.
      this.#heads.delete(stream);
    }
  }

  /** Finds out by inserting whether the stream exists: that is one statement instead of two. */
  #create(append: StreamAppend, lastSequence: number): Head {
    const { stream, create, retireAtMs } = append;
    const head: Head = {
      id: create === undefined ? this.#lowestId - 1 : this.#positions.next(create.createTimeMs),
      lastSequence,
      state: append.state ?? null,
    };
    const { changes } = this.#insert.run(
      head.id,
      stream,
      lastSequence,
      head.state,
      create === undefined ? null : this.#names.workflowId(create.workflow),
      create === undefined ? null : this.#names.ownerId(create.owner),
      create?.key ?? null,
      create?.parentRunId ?? null,
      retireAtMs === undefined ? null : wholeMs(retireAtMs),
    );
    if (changes === 0) {
      throw new JournalConflictError(stream, 0);
    }
    if (create === undefined) {
      this.#lowestId = head.id;
    }
    this.#remember(stream, head);
    return head;
  }

  #head(stream: string): Head | undefined {
    const known = this.#heads.get(stream);
    if (known !== undefined) {
      return known;
    }
    const row = this.#find.get(stream);
    if (row === undefined) {
      return undefined;
    }
    const head: Head = {
      id: Number(row["id"]),
      lastSequence: Number(row["last_sequence"]),
      state: row["state"] === null ? null : Number(row["state"]),
    };
    this.#remember(stream, head);
    return head;
  }

  #remember(stream: string, head: Head): void {
    if (this.#heads.size >= rememberedHeads) {
      this.#heads.clear();
    }
    this.#heads.set(stream, head);
  }
}

/** As the database keeps times; null for never. */
function wholeMs(timeMs: number): number | null {
  return timeMs <= Number.MAX_SAFE_INTEGER ? Math.ceil(timeMs) : null;
}

/** The first text, by code points, after all that begin with the prefix. Text is always before a blob in SQLite. */
function afterPrefix(prefix: string): string | Uint8Array {
  const points = Array.from(prefix, (character) => character.codePointAt(0) ?? 0);
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    if (last < 0x10ffff) {
      // Surrogates are no characters: the next one after U+D7FF is U+E000.
      return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1);
    }
  }
  return new Uint8Array();
}
