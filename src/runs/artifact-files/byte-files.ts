import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { isMissing } from "./storage-problem.ts";

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
  /** The last thing that happens to a file, by its name. */
  readonly #turns = new Map<string, Promise<unknown>>();
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
    return this.#inTurn(name, async () => {
      const target = this.#path(name);
      const folder = join(this.#options.directory, name.slice(0, 2));
      if ((await mkdir(folder, { recursive: true, mode: 0o700 })) !== undefined) {
        await this.#syncFolder(this.#options.directory);
      }
      if ((await sizeOf(target)) === size) {
        await rm(path, { force: true });
      } else {
        await rename(path, target);
      }
      await this.#syncFolder(folder);
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
    return this.#inTurn(name, async () => {
      if (!(await this.#options.isOwned(sha256))) {
        await rm(this.#path(name), { force: true });
      }
    });
  }

  /** How many bytes of an upload there are; 0 without a file. */
  async uploadSize(key: string): Promise<number> {
    return (await sizeOf(this.uploadPath(key))) ?? 0;
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
    await Promise.allSettled(this.#turns.values());
  }

  async #inTurn<Result>(name: string, task: () => Promise<Result>): Promise<Result> {
    const mine = (this.#turns.get(name) ?? Promise.resolve()).then(task, task);
    this.#turns.set(name, mine);
    try {
      return await mine;
    } finally {
      if (this.#turns.get(name) === mine) {
        this.#turns.delete(name);
      }
    }
  }

  async #syncFolder(path: string): Promise<void> {
    if (process.platform === "win32") {
      // It cannot open directories, and NTFS journals names by itself.
      return;
    }
    const folder = await open(path, "r");
    try {
      await this.sync(folder);
    } finally {
      await folder.close();
    }
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

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) {
      return undefined;
    }
    throw error;
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isMissing(error)) {
      return [];
    }
    throw error;
  }
}
