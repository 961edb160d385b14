import type { DatabaseSync } from "node:sqlite";
import { LogLostError } from "./rewrite-log.ts";

/** Carries out a checkpoint; says whether something was in its way, and how many frames the log has. */
export function checkpoint(
  database: DatabaseSync,
  mode: "NOOP" | "PASSIVE" | "RESTART" | "TRUNCATE",
): { readonly busy: boolean; readonly frames: number } {
  const result = database.prepare(`PRAGMA wal_checkpoint(${mode})`).get();
  return { busy: result?.["busy"] !== 0, frames: Number(result?.["log"]) };
}

/** How many frames the log has that count. */
export function framesInLog(database: DatabaseSync): number {
  const version = String(database.prepare("SELECT sqlite_version() AS version").get()?.["version"]);
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < 3 || (major === 3 && minor < 51)) {
    // Older ones take it for PASSIVE, which would move frames that have not been checked.
    throw new LogLostError(`SQLite ${version} does not tell what its log should hold (3.51 does)`);
  }
  return checkpoint(database, "NOOP").frames;
}
