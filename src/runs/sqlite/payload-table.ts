import type { DatabaseSync, StatementSync } from "node:sqlite";

/** Payloads that are looked at for orphans: more than can be under way when a process ends. */
const newestLookedAt = 2_000;

export interface PayloadRow {
  /** As the codec has made them; undefined when they are in a file. */
  readonly data: Uint8Array | undefined;
}

/** What one transaction deletes at most: about 2 ms, also of payloads whose bytes are spread over many pages. */
const deletedRowsAtOnce = 200;
const deletedBytesAtOnce = 4 * 1024 * 1024;

/** The payloads of runs. Every method runs within a transaction of the caller or reads what is committed. */
export class PayloadTable {
  readonly #insert: StatementSync;
  readonly #find: StatementSync;
  readonly #findFile: StatementSync;
  readonly #ofRun: StatementSync;
  readonly #delete: StatementSync;
  readonly #deleteOrphans: StatementSync;

  constructor(database: DatabaseSync) {
    this.#insert = database.prepare(
      "INSERT INTO payloads (run, sha256, size, data) VALUES (?, ?, ?, ?) ON CONFLICT (run, sha256) DO NOTHING",
    );
    this.#find = database.prepare("SELECT data FROM payloads WHERE run = ? AND sha256 = ?");
    this.#findFile = database.prepare("SELECT 1 FROM payloads WHERE sha256 = ? AND data IS NULL LIMIT 1");
    this.#ofRun = database.prepare(
      `SELECT id, sha256, size, data IS NULL AS in_file FROM payloads WHERE run = ? LIMIT ${deletedRowsAtOnce}`,
    );
    this.#delete = database.prepare("DELETE FROM payloads WHERE id = ?");
    this.#deleteOrphans = database.prepare(
      `DELETE FROM payloads WHERE id > (SELECT max(id) FROM payloads) - ${newestLookedAt} ` +
        "AND NOT EXISTS (SELECT 1 FROM streams WHERE name = 'run/' || run)",
    );
  }

  /** @param data undefined when the bytes are in a file */
  put(runId: string, sha256: Uint8Array, size: number, data: Uint8Array | undefined): void {
    this.#insert.get(runId, sha256, size, data ?? null);
  }

  find(runId: string, sha256: Uint8Array): PayloadRow | undefined {
    const row = this.#find.get(runId, sha256);
    return row === undefined ? undefined : { data: (row["data"] as Uint8Array | null) ?? undefined };
  }

  /** Whether any run owns the file with these bytes. */
  ownsFile(sha256: Uint8Array): boolean {
    return this.#findFile.get(sha256) !== undefined;
  }

  /** Deletes a portion of what the runs own; says whether more is left, and which files have lost an owner. */
  deleteSome(runIds: readonly string[]): { readonly more: boolean; readonly files: readonly Uint8Array[] } {
    const files: Uint8Array[] = [];
    let rows = 0;
    let bytes = 0;
    for (const runId of runIds) {
      for (const row of this.#ofRun.all(runId)) {
        if (rows >= deletedRowsAtOnce || bytes >= deletedBytesAtOnce) {
          return { more: true, files };
        }
        rows++;
        if (row["in_file"] === 1) {
          files.push(row["sha256"] as Uint8Array);
        } else {
          bytes += Number(row["size"]);
        }
        this.#delete.get(Number(row["id"]));
      }
    }
    return { more: rows >= deletedRowsAtOnce, files };
  }

  /** Deletes payloads whose run was never created, because the process ended in between. */
  deleteOrphans(): void {
    this.#deleteOrphans.run();
  }
}
