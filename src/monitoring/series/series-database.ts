import { DatabaseSync, type StatementSync } from "node:sqlite";
import { createPrivateFile } from "../../create-private-file.ts";
import { Aggregates, aggregateNames } from "./aggregates.ts";
import { ChunkWriter, readChunk } from "./chunk.ts";
import { levels, type Resolution } from "./resolutions.ts";
import type { Labels, SeriesKind } from "./series.ts";

/** A series as the database knows it. */
export interface StoredSeries {
  readonly id: number;
  readonly name: string;
  readonly labels: Labels;
  readonly kind: SeriesKind;
}

/** Samples of a series as they are stored. */
export interface StoredChunk {
  readonly series: number;
  readonly samples: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly bytes: Uint8Array;
  /** Takes no more samples: the coarser resolutions are made from it. */
  readonly closed: boolean;
}

/** What an earlier process has left: a part of it, by number of the series. */
export interface StoredState {
  readonly series: readonly StoredSeries[];
  /** By series, in order. */
  readonly chunks: readonly StoredChunk[];
  /** What counters had reached that have no samples among these. */
  readonly reached: readonly (readonly [series: number, value: number])[];
}

/** One sample of a coarser resolution. */
export interface AggregateSample {
  readonly timeMs: number;
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  readonly last: number;
}

/** The format of the database. */
const version = 1;

const schema = `
  CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    labels TEXT NOT NULL,
    kind TEXT NOT NULL,
    UNIQUE (name, labels)
  ) STRICT;

  -- level 0 holds samples as they came, the others what was made of them: one row for each part of an aggregate.
  CREATE TABLE chunks (
    series INTEGER NOT NULL,
    level INTEGER NOT NULL,
    part INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (series, level, part, start_ms)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX chunks_by_end ON chunks (level, end_ms);

  PRAGMA user_version = ${version};
`;

const raw = 0;

/** The samples of all series in SQLite. What is written is durable at the next sync of the system, or when it is closed. */
export class SeriesDatabase {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /** Opens the database, or makes it. @throws Error when it cannot be used */
  constructor(path: string) {
    // What labels say about callers is for this user alone.
    createPrivateFile(path);
    this.#database = new DatabaseSync(path);
    // A crash of the machine may cost the last samples, never the database.
    this.#database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF;");
    const found = Number(this.#database.prepare("PRAGMA user_version").get()?.["user_version"]);
    if (found > version) {
      this.#database.close();
      throw new Error(`${path} was written by a newer version (format ${found}, this one knows ${version})`);
    }
    if (found === 0) this.#database.exec(`BEGIN IMMEDIATE; ${schema} COMMIT;`);
  }

  close(): void {
    this.#database.close();
  }

  /**
   * Series from a number on, of those that have samples; their samples as they came from a time on, and what counters without
   * any had reached. With the first of them it closes chunks that a process has left open before that: nobody else does.
   */
  load(afterMs: number, afterId: number, limit: number): StoredState {
    if (afterId === 0) this.#inTransaction(() => this.#closeLeft(afterMs));
    const series = this.#all(
      "SELECT id, name, labels, kind FROM series WHERE id > ? ORDER BY id LIMIT ?",
      afterId,
      limit,
    ).map((row) => ({
      id: Number(row["id"]),
      name: String(row["name"]),
      labels: JSON.parse(String(row["labels"])) as Labels,
      kind: row["kind"] as SeriesKind,
    }));
    const chunks = series.flatMap(({ id }) => this.#recent(id, afterMs));
    const recent = new Set(chunks.map((chunk) => chunk.series));
    const silent = series.filter(({ id, kind }) => kind === "counter" && !recent.has(id));
    return { series, chunks, reached: silent.flatMap(({ id }) => this.#reached(id)) };
  }

  /** Stores new series, and chunks in place of those that begin at the same time. */
  write(series: readonly StoredSeries[], chunks: readonly StoredChunk[]): void {
    this.#inTransaction(() => {
      for (const { id, name, labels, kind } of series) {
        this.#run("INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?)", id, name, JSON.stringify(labels), kind);
      }
      for (const chunk of chunks) {
        this.#put(chunk.series, raw, 0, chunk);
        if (chunk.closed) this.#aggregate(chunk);
      }
    });
  }

  /** The samples of a coarser resolution, after a time and up to another. */
  aggregates(
    series: number,
    resolution: Exclude<Resolution, "raw">,
    afterMs: number,
    untilMs: number,
  ): AggregateSample[] {
    const { level } = levels[resolution];
    const rows = this.#all(
      "SELECT part, samples, bytes FROM chunks WHERE series = ? AND level = ? AND end_ms > ? AND start_ms <= ? ORDER BY part, start_ms",
      series,
      level,
      afterMs,
      untilMs,
    );
    const samples = new Map<number, Partial<Record<keyof AggregateSample, number>>>();
    for (const row of rows) {
      const name = aggregateNames[Number(row["part"])];
      if (name === undefined) continue;
      readChunk(row["bytes"] as Uint8Array, Number(row["samples"]), (timeMs, value) => {
        if (timeMs <= afterMs || timeMs > untilMs) return;
        const sample = samples.get(timeMs) ?? {};
        sample[name] = value;
        samples.set(timeMs, sample);
      });
    }
    return [...samples]
      .sort(([a], [b]) => a - b)
      .map(([timeMs, { count = 1, last = Number.NaN, sum = last, min = last, max = last }]) => ({
        ...{ timeMs, count, sum, min, max, last },
      }));
  }

  /** The samples as they came, after a time and up to another. */
  samples(series: number, afterMs: number, untilMs: number): { timeMs: number; value: number }[] {
    const found: { timeMs: number; value: number }[] = [];
    for (const row of this.#all(
      "SELECT samples, bytes FROM chunks WHERE series = ? AND level = ? AND end_ms > ? AND start_ms <= ? ORDER BY start_ms",
      ...[series, raw, afterMs, untilMs],
    )) {
      readChunk(row["bytes"] as Uint8Array, Number(row["samples"]), (timeMs, value) => {
        if (timeMs > afterMs && timeMs <= untilMs) found.push({ timeMs, value });
      });
    }
    return found;
  }

  /** Forgets what is older than its resolution is kept, and series that have nothing left. Returns their numbers. */
  prune(nowMs: number): number[] {
    return this.#inTransaction(() => {
      for (const { level, keptMs } of Object.values(levels)) {
        this.#run("DELETE FROM chunks WHERE level = ? AND end_ms <= ?", level, nowMs - keptMs);
      }
      const gone = this.#all("DELETE FROM series WHERE id NOT IN (SELECT series FROM chunks) RETURNING id");
      return gone.map((row) => Number(row["id"]));
    });
  }

  /** Forgets series with all that they have. */
  forget(series: readonly number[]): void {
    this.#inTransaction(() => {
      for (const id of series) {
        this.#run("DELETE FROM chunks WHERE series = ?", id);
        this.#run("DELETE FROM series WHERE id = ?", id);
      }
    });
  }

  /** Forgets what came after a time: the clock was wrong then. */
  truncate(untilMs: number): void {
    this.#inTransaction(() => {
      const cut = this.#all(
        "DELETE FROM chunks WHERE end_ms > ? RETURNING series, level, part, start_ms, samples, bytes",
        untilMs,
      );
      for (const row of cut) {
        const kept = new ChunkWriter();
        readChunk(row["bytes"] as Uint8Array, Number(row["samples"]), (timeMs, value) => {
          if (timeMs <= untilMs) kept.append(timeMs, value);
        });
        if (kept.samples > 0) this.#put(Number(row["series"]), Number(row["level"]), Number(row["part"]), kept);
      }
    });
  }

  #recent(series: number, afterMs: number): StoredChunk[] {
    return this.#all(
      "SELECT samples, start_ms, end_ms, bytes FROM chunks WHERE series = ? AND level = ? AND end_ms > ? ORDER BY start_ms",
      ...[series, raw, afterMs],
    ).map((row) => ({
      ...{ series, samples: Number(row["samples"]), closed: true },
      ...{ startMs: Number(row["start_ms"]), endMs: Number(row["end_ms"]), bytes: row["bytes"] as Uint8Array },
    }));
  }

  #closeLeft(beforeMs: number): void {
    const left = this.#all(
      "SELECT series, max(start_ms) AS start_ms, samples, end_ms, bytes FROM chunks WHERE level = ? GROUP BY series HAVING end_ms <= ?",
      raw,
      beforeMs,
    );
    for (const row of left) {
      this.#aggregate({
        ...{ series: Number(row["series"]), samples: Number(row["samples"]), closed: true },
        ...{ startMs: Number(row["start_ms"]), endMs: Number(row["end_ms"]), bytes: row["bytes"] as Uint8Array },
      });
    }
  }

  /** What a counter had reached when it was last heard of, of what is left of that. */
  #reached(series: number): [number, number][] {
    const row = this.#all(
      "SELECT samples, bytes FROM chunks WHERE series = ? AND level = ? AND part = ? ORDER BY start_ms DESC LIMIT 1",
      series,
      levels.ten_minutes.level,
      aggregateNames.indexOf("last"),
    )[0];
    if (row === undefined) return [];
    let last = 0;
    readChunk(row["bytes"] as Uint8Array, Number(row["samples"]), (_, value) => {
      last = value;
    });
    return [[series, last]];
  }

  #aggregate(chunk: StoredChunk): void {
    const row = this.#all("SELECT kind FROM series WHERE id = ?", chunk.series)[0];
    if (row === undefined) return;
    const parts = row["kind"] === "counter" ? (["last"] as const) : aggregateNames;
    for (const { level, stepMs, spanMs } of Object.values(levels)) {
      if (stepMs === undefined) continue;
      const aggregates = new Aggregates(stepMs);
      readChunk(chunk.bytes, chunk.samples, (timeMs, value) => aggregates.add(timeMs, value));
      const steps = aggregates.end();
      for (const name of parts) {
        const samples = steps.map((step) => [step.timeMs, step[name]] as const);
        this.#extend(chunk.series, level, aggregateNames.indexOf(name), spanMs, samples);
      }
    }
  }

  /** Adds samples to the row of their span, which keeps rows few. */
  #extend(
    series: number,
    level: number,
    part: number,
    spanMs: number,
    samples: readonly (readonly [number, number])[],
  ): void {
    const bySpan = Map.groupBy(samples, ([timeMs]) => Math.floor(timeMs / spanMs));
    for (const [span, added] of bySpan) {
      const chunk = new ChunkWriter();
      const merged = new Map<number, number>();
      for (const row of this.#all(
        "SELECT start_ms, samples, bytes FROM chunks WHERE series = ? AND level = ? AND part = ? AND start_ms >= ? AND start_ms < ?",
        ...[series, level, part, span * spanMs, (span + 1) * spanMs],
      )) {
        readChunk(row["bytes"] as Uint8Array, Number(row["samples"]), (timeMs, value) => merged.set(timeMs, value));
        this.#run(
          "DELETE FROM chunks WHERE series = ? AND level = ? AND part = ? AND start_ms = ?",
          ...[series, level, part, Number(row["start_ms"])],
        );
      }
      for (const [timeMs, value] of added) merged.set(timeMs, value);
      for (const [timeMs, value] of [...merged].sort(([a], [b]) => a - b)) chunk.append(timeMs, value);
      this.#put(series, level, part, chunk);
    }
  }

  #put(
    series: number,
    level: number,
    part: number,
    chunk: Pick<StoredChunk, "startMs" | "endMs" | "samples" | "bytes">,
  ): void {
    const { startMs, endMs, samples, bytes } = chunk;
    this.#run(
      "INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?)",
      series,
      level,
      part,
      startMs,
      endMs,
      samples,
      bytes,
    );
  }

  #inTransaction<T>(change: () => T): T {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      const result = change();
      this.#database.exec("COMMIT");
      return result;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  #all(sql: string, ...values: readonly (string | number)[]): Record<string, unknown>[] {
    return this.#prepared(sql).all(...values) as Record<string, unknown>[];
  }

  #run(sql: string, ...values: readonly (string | number | Uint8Array)[]): void {
    this.#prepared(sql).run(...values);
  }

  #prepared(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}
