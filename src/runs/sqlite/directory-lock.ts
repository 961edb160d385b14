import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Clock } from "../../clock.ts";
import { createPrivateFile } from "../../create-private-file.ts";
import { JournalOpenError } from "../ports/journal.ts";
import { isBusy } from "./sqlite-error.ts";

/** A directory that nobody else uses until it is released. */
export interface DirectoryLock {
  release(): void;
}

/**
 * Takes a directory for this process. Node has no `flock`: the lock is a transaction held open on a small database of its
 * own, which the operating system ends however the process ends.
 *
 * @throws JournalOpenError that names the holder
 */
export function lockDirectory(directory: string, clock: Clock): DirectoryLock {
  const path = join(directory, "lock.db");
  const holderPath = join(directory, "lock-holder");
  createPrivateFile(path);
  const database = new DatabaseSync(path);
  try {
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (isBusy(error)) {
      throw new JournalOpenError(
        "locked",
        `the data directory ${directory} is in use by ${holder(holderPath)}: stop that one, or choose another data directory`,
        { cause: error },
      );
    }
    throw error;
  }
  try {
    const since = new Date(clock.now()).toISOString();
    writeFileSync(holderPath, `process ${process.pid} on ${hostname()} since ${since}\n`, { mode: 0o600 });
  } catch (error) {
    database.close();
    throw error;
  }
  return {
    release: () => {
      rmSync(holderPath, { force: true });
      database.close();
    },
  };
}

/** In words. A file beside the lock, because what is locked cannot be read either. */
function holder(path: string): string {
  try {
    return readFileSync(path, "utf8").trim() || "another process";
  } catch {
    return "another process";
  }
}
