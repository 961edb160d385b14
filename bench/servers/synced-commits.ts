import { closeSync, fdatasync, openSync } from "node:fs";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { CheckpointThread } from "../../src/runs/sqlite/checkpoint-thread.ts";
import { Checkpoints } from "../../src/runs/sqlite/checkpoints.ts";

interface Change {
  readonly apply: () => void;
  readonly durable: () => void;
}

/** About what one change adds to the log. */
const bytesPerChange = 2 * 1024;

/**
 * Group commit: whatever is due shares a transaction, then one asynchronous sync of the log; what comes in meanwhile
 * shares the next one. Nothing may fail here, and an error ends the process.
 */
export class SyncedCommits {
  readonly #begin: StatementSync;
  readonly #end: StatementSync;
  readonly #log: number;
  readonly #thread: CheckpointThread;
  readonly #checkpoints: Checkpoints;
  #waiting: Change[] = [];
  #due = false;
  #syncing = false;
  #paused = false;

  constructor({ database, path }: { readonly database: DatabaseSync; readonly path: string }, directory: string) {
    this.#begin = database.prepare("BEGIN IMMEDIATE");
    this.#end = database.prepare("COMMIT");
    this.#log = openSync(`${path}-wal`, "r+");
    this.#thread = new CheckpointThread(path, directory);
    // As the journal does, so that both have equally long logs.
    this.#checkpoints = new Checkpoints({
      thread: this.#thread,
      pause: () => {
        this.#paused = true;
      },
      resume: () => {
        this.#paused = false;
        this.#schedule();
      },
      failed: (error) => {
        throw error;
      },
    });
  }

  /** Orders a change, and tells when it is durable. */
  add(apply: () => void, durable: () => void): void {
    this.#waiting.push({ apply, durable });
    this.#schedule();
  }

  async close(): Promise<void> {
    await this.#checkpoints.close();
    await this.#thread.terminate();
    closeSync(this.#log);
  }

  #schedule(): void {
    if (!this.#due && !this.#syncing && !this.#paused && this.#waiting.length > 0) {
      this.#due = true;
      setImmediate(() => {
        this.#due = false;
        this.#commit();
      });
    }
  }

  #commit(): void {
    if (this.#paused) {
      return;
    }
    const changes = this.#waiting;
    this.#waiting = [];
    this.#begin.run();
    for (const { apply } of changes) {
      apply();
    }
    this.#end.run();
    this.#checkpoints.wrote(changes.length * bytesPerChange);
    this.#syncing = true;
    fdatasync(this.#log, (error) => {
      if (error !== null) {
        throw error;
      }
      this.#syncing = false;
      for (const { durable } of changes) {
        durable();
      }
      this.#schedule();
    });
  }
}
