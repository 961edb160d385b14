import { rmSync } from "node:fs";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock, Timer } from "../../clock.ts";
import { syncDirectory } from "../../sync-directory.ts";
import { isMissing, namesIn, sizeOf } from "../found-files.ts";
import { OneAtATime } from "../one-at-a-time.ts";
import { JournalUnavailableError, journalClosed } from "../ports/journal.ts";
import { retryDelayMs } from "../storage/retry-delay.ts";
import type { StorageHealth } from "../storage/storage-health.ts";
import { describe } from "./sqlite-error.ts";

/** Fewer than the threads that Node has for files (4), so that the journal's own sync never waits for payloads. */
const writesAtOnce = 2;
/** What is written to see whether files can be written again. */
const trial = new Uint8Array(256 * 1024);

const part = "payload files";

export interface PayloadFilesOptions {
  /** The data directory. */
  readonly directory: string;
  readonly sync: (file: number) => Promise<void>;
  readonly clock: Clock;
  readonly health: StorageHealth;
  /** Whether a committed row refers to a file. */
  readonly isOwned: (sha256: Uint8Array) => boolean;
}

/**
 * Large payloads as files under their digest, `payloads/ab/cdef…`, shared by all runs that own the same bytes.
 *
 * 1. A file is complete and durable before its name exists: it is written and synced elsewhere, then renamed.
 * 2. It is held from before it is looked for until a row that owns it is committed or given up, and never removed while
 *    it is held or owned. All that happens to one file happens one after the other.
 * 3. It is removed only after the deletion of its last row is durable. What a crash leaves in between is found by `sweep`.
 */
export class PayloadFiles {
  readonly #options: PayloadFilesOptions;
  readonly #root: string;
  readonly #unfinished: string;
  /** How often a file is held, by its name. */
  readonly #holds = new Map<string, number>();
  /** What happens to files, by their names. */
  readonly #oneAtATime = new OneAtATime();
  readonly #waitingWrites: (() => void)[] = [];
  #writing = 0;
  #unfinishedFiles = 0;
  #failedTries = 0;
  /** While the storage fails: resolves when that may be over. */
  #trouble: PromiseWithResolvers<void> | undefined;
  #cause: JournalUnavailableError | undefined;
  #retry: Timer | undefined;
  #closed = false;

  constructor(options: PayloadFilesOptions) {
    this.#options = options;
    this.#root = join(options.directory, "payloads");
    this.#unfinished = join(this.#root, "unfinished");
    // An earlier process left it; the directory is ours alone.
    rmSync(this.#unfinished, { recursive: true, force: true });
  }

  /**
   * Writes a file, unless it is there, and holds it until `release`. Tries again while the storage fails.
   *
   * @throws JournalUnavailableError when closed, or impatient and the storage fails; then nothing is held
   */
  async write(sha256: Uint8Array, bytes: Uint8Array, impatient: boolean): Promise<void> {
    const name = nameOf(sha256);
    this.#holds.set(name, (this.#holds.get(name) ?? 0) + 1);
    try {
      while (!(await this.#tryToWrite(name, bytes))) {
        if (impatient || this.#closed) {
          throw this.#cause ?? journalClosed();
        }
        await this.#trouble?.promise;
      }
    } catch (error) {
      this.release(sha256);
      throw error;
    }
  }

  /** Ends one hold of a file. */
  release(sha256: Uint8Array): void {
    const name = nameOf(sha256);
    const holds = (this.#holds.get(name) ?? 0) - 1;
    if (holds > 0) {
      this.#holds.set(name, holds);
    } else {
      this.#holds.delete(name);
    }
  }

  /** The bytes; undefined when there is no such file. */
  async read(sha256: Uint8Array): Promise<Uint8Array | undefined> {
    try {
      return await readFile(this.#path(nameOf(sha256)));
    } catch (error) {
      if (isMissing(error)) {
        return undefined;
      }
      throw error;
    }
  }

  /** Removes a file that nobody owns or holds any more. */
  async removeUnowned(sha256: Uint8Array): Promise<void> {
    const name = nameOf(sha256);
    await this.#oneAtATime.run(name, async () => {
      if (!this.#closed && !this.#holds.has(name) && !this.#options.isOwned(sha256)) {
        await rm(this.#path(name), { force: true });
      }
    });
  }

  /** Removes what a crash has left without an owner. */
  async sweep(): Promise<void> {
    for (const directory of await namesIn(this.#root)) {
      if (/^[0-9a-f]{2}$/.test(directory)) {
        for (const file of await namesIn(join(this.#root, directory))) {
          if (this.#closed) {
            return;
          }
          if (/^[0-9a-f]{62}$/.test(file)) {
            await this.removeUnowned(Buffer.from(directory + file, "hex"));
          }
        }
      }
    }
  }

  /** Gives up what waits; resolves when nothing is being written or removed. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#retry?.cancel();
    this.#trouble?.resolve();
    await this.#oneAtATime.settled();
  }

  /** Returns whether the file is there and durable. */
  async #tryToWrite(name: string, bytes: Uint8Array): Promise<boolean> {
    if (this.#closed || this.#trouble !== undefined) {
      return false;
    }
    try {
      await this.#oneAtATime.run(name, () => this.#limited(() => this.#ensure(name, bytes)));
    } catch (error) {
      this.#fail(error);
      return false;
    }
    this.#failedTries = 0;
    return true;
  }

  async #ensure(name: string, bytes: Uint8Array): Promise<void> {
    const path = this.#path(name);
    const directory = join(this.#root, name.slice(0, 2));
    const created = await mkdir(directory, { recursive: true, mode: 0o700 });
    if (created !== undefined) {
      await this.#syncDirectory(this.#root);
      await this.#syncDirectory(this.#options.directory);
    }
    if ((await sizeOf(path)) !== bytes.length) {
      await this.#create(bytes, (unfinished) => rename(unfinished, path));
    }
    // Also when the file was there: whoever renamed it may have ended before this.
    await this.#syncDirectory(directory);
  }

  /** Writes a durable file that has no name of its own yet. */
  async #create(bytes: Uint8Array, finish: (path: string) => Promise<void>): Promise<void> {
    await mkdir(this.#unfinished, { recursive: true, mode: 0o700 });
    const path = join(this.#unfinished, String(++this.#unfinishedFiles));
    try {
      const file = await open(path, "wx", 0o600);
      try {
        await file.writeFile(bytes);
        await this.#options.sync(file.fd);
      } finally {
        await file.close();
      }
      await finish(path);
    } catch (error) {
      await rm(path, { force: true }).catch(() => undefined);
      throw error;
    }
  }

  #syncDirectory(path: string): Promise<void> {
    return syncDirectory(path, (directory) => this.#options.sync(directory.fd));
  }

  #fail(error: unknown): void {
    const cause = new JournalUnavailableError(
      `payloads cannot be written to ${this.#root} at the moment: ${describe(error)}`,
      { cause: error },
    );
    this.#cause = cause;
    this.#options.health.fail(part, cause);
    this.#trouble ??= Promise.withResolvers();
    if (this.#retry === undefined && !this.#closed) {
      this.#retry = this.#options.clock.setTimeout(() => void this.#probe(), retryDelayMs(this.#failedTries++));
    }
  }

  async #probe(): Promise<void> {
    this.#retry = undefined;
    try {
      await this.#create(trial, (path) => rm(path));
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#options.health.heal(part);
    this.#trouble?.resolve();
    this.#trouble = undefined;
  }

  async #limited<Result>(task: () => Promise<Result>): Promise<Result> {
    while (this.#writing >= writesAtOnce) {
      await new Promise<void>((resolve) => this.#waitingWrites.push(resolve));
    }
    this.#writing++;
    try {
      return await task();
    } finally {
      this.#writing--;
      this.#waitingWrites.shift()?.();
    }
  }

  #path(name: string): string {
    return join(this.#root, name.slice(0, 2), name.slice(2));
  }
}

function nameOf(sha256: Uint8Array): string {
  return Buffer.from(sha256.buffer, sha256.byteOffset, sha256.length).toString("hex");
}
