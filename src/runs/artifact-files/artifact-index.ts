import { DatabaseSync, type StatementSync } from "node:sqlite";
import { createPrivateFile } from "../../create-private-file.ts";
import type { ArtifactFilter, ArtifactKeeper, ArtifactPage, ArtifactRow, StoredArtifact } from "../ports/artifacts.ts";
import type { RunOwner } from "../ports/journal.ts";
import { leastBytes } from "./counted-bytes.ts";

/** What an upload was begun as. */
export interface UploadPlan {
  readonly name: string;
  readonly mediaType: string;
  readonly size?: number;
  readonly sha256?: Uint8Array;
}

export interface UploadRow extends UploadPlan {
  /** How many bytes are durable. */
  readonly committed: number;
  readonly artifact?: StoredArtifact;
}

export interface Addition {
  /** A run that keeps it. */
  readonly keeper?: string;
  /** The upload that is complete with it. */
  readonly uploadKey?: string;
}

/** What is stored, in bytes as they are counted; what several own counts for each of them. */
export interface Usage {
  readonly ofOwner: number;
  readonly inAll: number;
}

/** The format of the database. */
const version = 2;

const schema = `
  CREATE TABLE artifacts (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    sha256 BLOB NOT NULL,
    size INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    name TEXT NOT NULL,
    tenant TEXT NOT NULL,
    subject TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    -- When it was written or released last, in ms since the epoch.
    touched INTEGER NOT NULL,
    -- How many runs keep it.
    keepers INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX artifacts_by_sha256 ON artifacts (sha256);
  CREATE INDEX artifacts_by_owner ON artifacts (tenant, subject);
  CREATE INDEX artifacts_unkept ON artifacts (touched) WHERE keepers = 0;

  CREATE TABLE kept (
    run TEXT NOT NULL,
    artifact INTEGER NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (run, artifact)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE uploads (
    key TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size INTEGER,
    sha256 BLOB,
    committed INTEGER NOT NULL,
    artifact TEXT,
    touched INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX uploads_by_time ON uploads (touched);
`;

/** The same as `countedBytes`. */
function counted(size: string): string {
  return `max(${size}, ${leastBytes})`;
}

/**
 * Whose uploads are, and how many bytes each owner has, of artifacts and of uploads that are not complete. Triggers count,
 * so that no statement can forget to. An upload from before is nobody's.
 */
const usageSchema = `
  ALTER TABLE uploads ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
  ALTER TABLE uploads ADD COLUMN subject TEXT NOT NULL DEFAULT '';

  CREATE TABLE usage (
    tenant TEXT NOT NULL,
    subject TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (tenant, subject)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO usage
    SELECT tenant, subject, sum(bytes) FROM (
      SELECT tenant, subject, ${counted("size")} AS bytes FROM artifacts
      UNION ALL SELECT tenant, subject, ${counted("committed")} FROM uploads WHERE artifact IS NULL
    ) GROUP BY tenant, subject;
  CREATE TABLE usage_in_all (bytes INTEGER NOT NULL) STRICT;
  INSERT INTO usage_in_all SELECT coalesce(sum(bytes), 0) FROM usage;

  CREATE TRIGGER usage_added AFTER INSERT ON usage BEGIN
    UPDATE usage_in_all SET bytes = bytes + NEW.bytes;
  END;
  CREATE TRIGGER usage_changed AFTER UPDATE OF bytes ON usage BEGIN
    UPDATE usage_in_all SET bytes = bytes + NEW.bytes - OLD.bytes;
  END;
  CREATE TRIGGER artifact_added AFTER INSERT ON artifacts BEGIN
    INSERT INTO usage VALUES (NEW.tenant, NEW.subject, ${counted("NEW.size")})
      ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
  END;
  CREATE TRIGGER artifact_removed AFTER DELETE ON artifacts BEGIN
    UPDATE usage SET bytes = bytes - ${counted("OLD.size")} WHERE tenant = OLD.tenant AND subject = OLD.subject;
  END;
  CREATE TRIGGER upload_begun AFTER INSERT ON uploads WHEN NEW.artifact IS NULL BEGIN
    INSERT INTO usage VALUES (NEW.tenant, NEW.subject, ${counted("NEW.committed")})
      ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
  END;
  CREATE TRIGGER upload_ended AFTER DELETE ON uploads WHEN OLD.artifact IS NULL BEGIN
    UPDATE usage SET bytes = bytes - ${counted("OLD.committed")} WHERE tenant = OLD.tenant AND subject = OLD.subject;
  END;
  CREATE TRIGGER upload_moved AFTER UPDATE ON uploads BEGIN
    UPDATE usage SET bytes = bytes
        + CASE WHEN NEW.artifact IS NULL THEN ${counted("NEW.committed")} ELSE 0 END
        - CASE WHEN OLD.artifact IS NULL THEN ${counted("OLD.committed")} ELSE 0 END
      WHERE tenant = NEW.tenant AND subject = NEW.subject;
  END;

  PRAGMA user_version = ${version};
`;

const columns = "position, id, sha256, size, media_type, name, tenant, subject, create_time";

type Row = NonNullable<ReturnType<StatementSync["get"]>>;

/** What there is, who keeps it, and how far uploads are. Every method runs within a transaction of the caller. */
export class ArtifactIndex {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /** Opens the database, or makes it. @throws Error when it cannot be used */
  constructor(path: string) {
    createPrivateFile(path);
    this.#database = new DatabaseSync(path);
    this.#database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;");
    const found = Number(this.#database.prepare("PRAGMA user_version").get()?.["user_version"]);
    if (found > version) {
      this.#database.close();
      throw new Error(
        `${path} was written by a newer version (format ${found}, this one knows ${version}): start that version`,
      );
    }
    if (found < version) {
      this.#database.exec(`BEGIN IMMEDIATE; ${found === 0 ? schema : ""} ${usageSchema} COMMIT;`);
    }
  }

  exec(sql: string): void {
    this.#database.exec(sql);
  }

  close(): void {
    this.#database.close();
  }

  get(id: string): StoredArtifact | undefined {
    const row = this.#get(`SELECT ${columns} FROM artifacts WHERE id = ?`, id);
    return row && artifactOf(row);
  }

  list(filter: ArtifactFilter, page: ArtifactPage): ArtifactRow[] {
    const conditions = ["position < ?"];
    const values: (string | number)[] = [page.beforePosition ?? Number.MAX_SAFE_INTEGER];
    if (filter.owner !== undefined) {
      conditions.push("tenant = ?", "subject = ?");
      values.push(filter.owner.tenant, filter.owner.subject);
    }
    if (filter.tenant !== undefined) {
      conditions.push("tenant = ?");
      values.push(filter.tenant);
    }
    if (filter.runId !== undefined) {
      conditions.push("position IN (SELECT artifact FROM kept WHERE run = ?)");
      values.push(filter.runId);
    }
    const sql = `SELECT ${columns} FROM artifacts WHERE ${conditions.join(" AND ")} ORDER BY position DESC LIMIT ?`;
    return this.#prepare(sql)
      .all(...values, page.limit)
      .map((row) => ({ artifact: artifactOf(row), position: Number(row["position"]) }));
  }

  /** Adds an artifact, or finds it and begins its grace period anew. */
  add(artifact: StoredArtifact, { keeper, uploadKey }: Addition, nowMs: number): StoredArtifact {
    const { id, sha256, size, mediaType, name, owner, createTimeMs } = artifact;
    const row = this.#get(
      `INSERT INTO artifacts (id, sha256, size, media_type, name, tenant, subject, create_time, touched)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET touched = excluded.touched
       RETURNING ${columns}`,
      ...[id, sha256, size, mediaType, name, owner.tenant, owner.subject, createTimeMs, nowMs],
    ) as Row;
    if (keeper !== undefined) {
      this.#keep(keeper, Number(row["position"]), nowMs);
    }
    if (uploadKey !== undefined) {
      this.#run(
        "UPDATE uploads SET artifact = ?, committed = ?, touched = ? WHERE key = ?",
        id,
        size,
        nowMs,
        uploadKey,
      );
    }
    return artifactOf(row);
  }

  /** Whether any artifact has these bytes. */
  ownsFile(sha256: Uint8Array): boolean {
    return this.#get("SELECT 1 FROM artifacts WHERE sha256 = ? LIMIT 1", sha256) !== undefined;
  }

  /** Lets a run keep artifacts, all of them or, if some do not exist, none; returns those. */
  keep(runId: string, ids: readonly string[], nowMs: number): string[] {
    const positions = new Map(
      ids.map((id) => [id, this.#get("SELECT position FROM artifacts WHERE id = ?", id)?.["position"]]),
    );
    const unknown = ids.filter((id) => positions.get(id) === undefined);
    if (unknown.length === 0) {
      for (const position of positions.values()) {
        this.#keep(runId, Number(position), nowMs);
      }
    }
    return unknown;
  }

  release(runIds: readonly string[], nowMs: number): void {
    for (const runId of runIds) {
      for (const { artifact } of this.#prepare("DELETE FROM kept WHERE run = ? RETURNING artifact").all(runId)) {
        this.#run(
          "UPDATE artifacts SET keepers = keepers - 1, touched = ? WHERE position = ?",
          nowMs,
          artifact as number,
        );
      }
    }
  }

  listKeepers(afterRunId: string, limit: number): ArtifactKeeper[] {
    return this.#prepare("SELECT run, min(since) AS since FROM kept WHERE run > ? GROUP BY run ORDER BY run LIMIT ?")
      .all(afterRunId, limit)
      .map((row) => ({ runId: String(row["run"]), sinceMs: Number(row["since"]) }));
  }

  /** Removes artifacts that no run keeps; returns the digests of their bytes. */
  removeUnkept(beforeMs: number, limit: number): Uint8Array[] {
    return this.#prepare(
      `DELETE FROM artifacts WHERE position IN
         (SELECT position FROM artifacts WHERE keepers = 0 AND touched < ? ORDER BY touched LIMIT ?)
       RETURNING sha256`,
    )
      .all(beforeMs, limit)
      .map((row) => row["sha256"] as Uint8Array);
  }

  findUpload(key: string): UploadRow | undefined {
    const row = this.#get("SELECT * FROM uploads WHERE key = ?", key);
    if (row === undefined) {
      return undefined;
    }
    const { size, sha256, artifact: id } = row;
    const artifact = id === null ? undefined : this.get(String(id));
    if (id !== null && artifact === undefined) {
      // It was complete, and what came of it has been removed.
      return undefined;
    }
    return {
      name: String(row["name"]),
      mediaType: String(row["media_type"]),
      committed: Number(row["committed"]),
      ...(size === null ? {} : { size: Number(size) }),
      ...(sha256 === null ? {} : { sha256: sha256 as Uint8Array }),
      ...(artifact === undefined ? {} : { artifact }),
    };
  }

  /** An upload begins, or goes on with this many bytes. */
  beginUpload(key: string, plan: UploadPlan, committed: number, owner: RunOwner, nowMs: number): void {
    const { name, mediaType, size, sha256 } = plan;
    // Two statements, since what is replaced tells no trigger.
    this.removeUpload(key);
    this.#run(
      `INSERT INTO uploads (key, name, media_type, size, sha256, committed, touched, tenant, subject)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...[key, name, mediaType, size ?? null, sha256 ?? null, committed, nowMs, owner.tenant, owner.subject],
    );
  }

  usage({ tenant, subject }: RunOwner): Usage {
    const own = this.#get("SELECT bytes FROM usage WHERE tenant = ? AND subject = ?", tenant, subject);
    return {
      ofOwner: Number(own?.["bytes"] ?? 0),
      inAll: Number(this.#get("SELECT bytes FROM usage_in_all")?.["bytes"]),
    };
  }

  moveUpload(key: string, committed: number, nowMs: number): void {
    this.#run("UPDATE uploads SET committed = ?, touched = ? WHERE key = ?", committed, nowMs, key);
  }

  removeUpload(key: string): void {
    this.#run("DELETE FROM uploads WHERE key = ?", key);
  }

  /** Removes uploads that nobody has continued, but for those that are going on; returns their keys. */
  removeUploads(beforeMs: number, limit: number, active: readonly string[]): string[] {
    const keys = this.#prepare("SELECT key FROM uploads WHERE touched < ? ORDER BY touched LIMIT ?")
      .all(beforeMs, limit + active.length)
      .map((row) => String(row["key"]))
      .filter((key) => !active.includes(key))
      .slice(0, limit);
    for (const key of keys) {
      this.removeUpload(key);
    }
    return keys;
  }

  #keep(runId: string, position: number, nowMs: number): void {
    const kept = this.#get(
      "INSERT INTO kept VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1",
      ...[runId, position, nowMs],
    );
    if (kept !== undefined) {
      this.#run("UPDATE artifacts SET keepers = keepers + 1 WHERE position = ?", position);
    }
  }

  #get(sql: string, ...values: (string | number | Uint8Array | null)[]): Row | undefined {
    return this.#prepare(sql).get(...values);
  }

  #run(sql: string, ...values: (string | number | Uint8Array | null)[]): void {
    this.#prepare(sql).run(...values);
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

function artifactOf(row: Row): StoredArtifact {
  return {
    id: String(row["id"]),
    sha256: row["sha256"] as Uint8Array,
    size: Number(row["size"]),
    mediaType: String(row["media_type"]),
    name: String(row["name"]),
    owner: { tenant: String(row["tenant"]), subject: String(row["subject"]) },
    createTimeMs: Number(row["create_time"]),
  };
}
