import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Clock } from "../../clock.ts";
import { createPrivateFile } from "../../create-private-file.ts";
import { JournalOpenError } from "../ports/journal.ts";
import { isBusy } from "./sqlite-error.ts";

/** A directory that nobody else uses until it is released. */
export interface DirectoryLock {
  /** @param leavesNothing so that the directory is as it was before it had a lock */
  release(options?: { readonly leavesNothing: boolean }): void;
}

export const lockName = "lock.db";

/**
 * Takes a directory for this process. Node has no `flock`: the lock is a transaction held open on a small database of its
 * own, which the operating system ends however the process ends.
 *
 * @throws JournalOpenError that names the holder
 */
export function lockDirectory(directory: string, clock: Clock): DirectoryLock {
  const path = join(directory, lockName);
  const holderPath = join(directory, "lock-holder");
  createPrivateFile(path);
  const opened = inodeOf(path);
  // Whoever has left nothing meanwhile took this file along, and others would lock the one that comes next.
  const isGone = () => opened === undefined || inodeOf(path) !== opened;
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
    if (isGone()) return lockDirectory(directory, clock);
    throw error;
  }
  if (isGone()) {
    database.close();
    return lockDirectory(directory, clock);
  }
  try {
    const since = new Date(clock.now()).toISOString();
    writeFileSync(holderPath, `process ${process.pid} on ${hostname()} since ${since}\n`, { mode: 0o600 });
  } catch (error) {
    database.close();
    throw error;
  }
  return {
    release: ({ leavesNothing } = { leavesNothing: false }) => {
      try {
        rmSync(holderPath, { force: true });
        if (leavesNothing) rmSync(path, { force: true });
      } catch {
        // Some file systems keep what is open; what is left is no lock to anybody.
      } finally {
        database.close();
      }
    },
  };
}

function inodeOf(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}

/** In words. A file beside the lock, because what is locked cannot be read either. */
function holder(path: string): string {
  try {
    return readFileSync(path, "utf8").trim() || "another process";
  } catch {
    return "another process";
  }
}
