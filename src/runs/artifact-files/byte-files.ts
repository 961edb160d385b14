import { type FileHandle, mkdir, open, rename, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { syncDirectory } from "../../sync-directory.ts";
import { namesIn, sizeOf } from "../found-files.ts";
import { OneAtATime } from "../one-at-a-time.ts";

/** Read at once: few enough for many slow readers, enough for a fast one. */
const chunkBytes = 256 * 1024;

export interface ByteFilesOptions {
  /** The folder of the artifacts. */
  readonly directory: string;
  /** Makes durable what was written to an open file. */
  readonly sync: (file: number) => Promise<void>;
  /** Whether any artifact has these bytes. */
  readonly isOwned: (sha256: Uint8Array) => Promise<boolean>;
}

/**
 * The bytes of artifacts as files under their digest, `ab/cdef…`, and what is being written beside them.
 *
 * 1. A file is complete and durable before its name exists: it is written and synced elsewhere, then renamed.
 * 2. All that happens to one name happens one after the other, an artifact's addition to the index included: a file is
 *    never removed between being found and being owned.
 */
export class ByteFiles {
  readonly #options: ByteFilesOptions;
  /** What happens to files, by their names. */
  readonly #oneAtATime = new OneAtATime();
  #unfinished = 0;

  constructor(options: ByteFilesOptions) {
    this.#options = options;
  }

  /** Makes the folders, and removes what a process before was writing and nobody can continue. */
  async prepare(): Promise<void> {
    await rm(this.#folder("unfinished"), { recursive: true, force: true });
    await mkdir(this.#folder("unfinished"), { recursive: true, mode: 0o700 });
    await mkdir(this.#folder("uploads"), { recursive: true, mode: 0o700 });
  }

  /** A file that is gone after a restart. */
  unfinishedPath(): string {
    return join(this.#folder("unfinished"), String(++this.#unfinished));
  }

  /** A file that stays. */
  uploadPath(key: string): string {
    return join(this.#folder("uploads"), key);
  }

  sync(file: FileHandle): Promise<void> {
    return this.#options.sync(file.fd);
  }

  /**
   * Gives a durable file the name of its bytes, unless there is one already, then lets `add` refer to it before anybody
   * can remove it.
   */
  keep<Result>(path: string, sha256: Uint8Array, size: number, add: () => Promise<Result>): Promise<Result> {
    const name = nameOf(sha256);
    return this.#oneAtATime.run(name, async () => {
      const target = this.#path(name);
      const folder = join(this.#options.directory, name.slice(0, 2));
      if ((await mkdir(folder, { recursive: true, mode: 0o700 })) !== undefined) {
        await this.#syncDirectory(this.#options.directory);
      }
      if ((await sizeOf(target)) === size) {
        await rm(path, { force: true });
      } else {
        await rename(path, target);
      }
      await this.#syncDirectory(folder);
      return add();
    });
  }

  /** @throws Error of the file system */
  async *read(sha256: Uint8Array, offset: number, length: number): AsyncGenerator<Uint8Array, void, undefined> {
    const file = await open(this.#path(nameOf(sha256)), "r");
    try {
      let position = offset;
      const end = offset + length;
      while (position < end) {
        const chunk = Buffer.allocUnsafeSlow(Math.min(chunkBytes, end - position));
        const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
        if (bytesRead === 0) {
          throw new Error(`its file ends after ${position} bytes`);
        }
        position += bytesRead;
        yield bytesRead === chunk.length ? chunk : chunk.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }

  /** Removes a file whose bytes no artifact has any more. */
  removeUnowned(sha256: Uint8Array): Promise<void> {
    const name = nameOf(sha256);
    return this.#oneAtATime.run(name, async () => {
      if (!(await this.#options.isOwned(sha256))) {
        await rm(this.#path(name), { force: true });
      }
    });
  }

  /** How many bytes of an upload there are; 0 without a file. */
  async uploadSize(key: string): Promise<number> {
    return (await sizeOf(this.uploadPath(key))) ?? 0;
  }

  /** Leaves the first bytes of an upload, or no file at all. */
  async cutUpload(key: string, size: number): Promise<void> {
    if (size === 0) {
      await this.removeUpload(key);
    } else {
      await truncate(this.uploadPath(key), size);
    }
  }

  async removeUpload(key: string): Promise<void> {
    await rm(this.uploadPath(key), { force: true });
  }

  /** Removes what a crash has left: files without an artifact, one after the other, until it is told to stop. */
  async sweep(stopped: () => boolean): Promise<void> {
    for (const folder of await namesIn(this.#options.directory)) {
      if (/^[0-9a-f]{2}$/.test(folder)) {
        for (const file of await namesIn(join(this.#options.directory, folder))) {
          if (stopped()) {
            return;
          }
          if (/^[0-9a-f]{62}$/.test(file)) {
            await this.removeUnowned(Buffer.from(folder + file, "hex"));
          }
        }
      }
    }
  }

  /** Resolves when nothing happens to any file. */
  async settled(): Promise<void> {
    await this.#oneAtATime.settled();
  }

  #syncDirectory(path: string): Promise<void> {
    return syncDirectory(path, (directory) => this.sync(directory));
  }

  #folder(name: string): string {
    return join(this.#options.directory, name);
  }

  #path(name: string): string {
    return join(this.#options.directory, name.slice(0, 2), name.slice(2));
  }
}

function nameOf(sha256: Uint8Array): string {
  return Buffer.from(sha256).toString("hex");
}
