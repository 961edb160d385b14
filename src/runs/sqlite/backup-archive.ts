import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { createTarDecoder, createTarPacker } from "modern-tar";
import { BackupError } from "./backup-error.ts";

/** The format of the archive, by which its first entry begins. */
export const archiveFormat = 1;

const introName = "RETAKE-BACKUP";
const checksumName = "CHECKSUM";
/** As much as is read or written at once. */
const portionBytes = 1024 * 1024;
/** Entries that are read as a whole. */
const mostTextBytes = 1024 * 1024;

/**
 * Writes a backup: a tar archive whose last entry is the SHA-256 of all before it, each as a line with its name, a line
 * with its size, and its bytes. It holds a few portions in memory, however large the entries are.
 */
export class ArchiveWriter {
  readonly #controller: ReturnType<typeof createTarPacker>["controller"];
  readonly #written: Promise<void>;
  readonly #hash = createHash("sha256");
  readonly #timeMs: number;

  constructor(file: FileHandle, timeMs: number) {
    const { readable, controller } = createTarPacker();
    this.#controller = controller;
    this.#timeMs = timeMs;
    this.#written = writeAll(readable, file);
    // Whoever adds an entry learns of a failure from that, and `finish` tells of it too.
    this.#written.catch(() => undefined);
  }

  /** The first entry, which tells people and programs what this is. */
  async begin(): Promise<void> {
    await this.addText(introName, `${archiveFormat}\nA backup of Retake. To restore it: retake restore FILE\n`);
  }

  async addText(name: string, text: string): Promise<void> {
    const bytes = Buffer.from(text);
    await this.add(name, bytes.length, [bytes]);
  }

  /** @throws when the chunks are not that many bytes, or the file cannot be written */
  async add(name: string, size: number, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    this.#hash.update(`${name}\n${size}\n`);
    await this.#add(name, size, chunks, (chunk) => this.#hash.update(chunk));
  }

  /** Ends the archive. Everything is written when it resolves, and nothing synced. */
  async finish(): Promise<void> {
    const checksum = Buffer.from(`${this.#hash.digest("hex")}\n`);
    await this.#add(checksumName, checksum.length, [checksum], () => undefined);
    this.#controller.finalize();
    await this.#written;
  }

  /** Gives up. */
  async abort(error: unknown): Promise<void> {
    this.#controller.error(error);
    await this.#written.catch(() => undefined);
  }

  async #add(
    name: string,
    size: number,
    chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    onChunk: (chunk: Uint8Array) => void,
  ): Promise<void> {
    const header = { name, size, mode: 0o600, mtime: new Date(this.#timeMs) };
    const writer = this.#controller.add(header).getWriter();
    try {
      for await (const chunk of chunks) {
        onChunk(chunk);
        await writer.write(chunk);
      }
      await writer.close();
    } catch (error) {
      // What the disk says tells more than that the stream has ended.
      await writer.abort(error).catch(() => undefined);
      await this.#written;
      throw error;
    }
  }
}

async function writeAll(readable: AsyncIterable<Uint8Array>, file: FileHandle): Promise<void> {
  for await (const chunk of readable) {
    for (let done = 0; done < chunk.length; ) {
      done += (await file.write(chunk, done)).bytesWritten;
    }
  }
}

/** An entry of a backup. It must be read to its end before the next one. */
export interface ArchiveEntry {
  readonly name: string;
  readonly size: number;
  readonly body: AsyncIterable<Uint8Array>;
}

/**
 * Reads a backup's entries but the first and the last one. Nothing that is read counts before the iteration has ended
 * well, because only then the checksum has been compared.
 *
 * @throws BackupError when it is no backup, of a newer format, cut off or damaged
 */
export async function* readArchive(file: FileHandle, path: string): AsyncGenerator<ArchiveEntry> {
  const hash = createHash("sha256");
  let entries = 0;
  let checksum: string | undefined;
  for await (const { name, size, body } of entriesOf(file, path)) {
    if (checksum !== undefined) {
      throw damaged(path, `something stands behind its end: ${JSON.stringify(name)}`);
    }
    if (name === checksumName) {
      checksum = (await textOf({ name, size, body }, path)).trim();
      continue;
    }
    hash.update(`${name}\n${size}\n`);
    const hashed = hashing(body, hash);
    if (entries++ === 0) {
      await checkIntro({ name, size, body: hashed }, path);
    } else {
      yield { name, size, body: hashed };
    }
  }
  if (entries === 0) {
    throw notABackup(path);
  }
  if (checksum === undefined) {
    throw damaged(path, "it ends too early");
  }
  if (checksum !== hash.digest("hex")) {
    throw damaged(path, "its checksum is another one");
  }
}

/** A small entry as text. */
export async function textOf({ name, size, body }: ArchiveEntry, path: string): Promise<string> {
  if (size > mostTextBytes) {
    throw damaged(path, `${name} has ${size} bytes`);
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

export function damaged(path: string, what: string, options?: ErrorOptions): BackupError {
  return new BackupError("damaged", `${path} is damaged: ${what}; take another backup`, options);
}

function notABackup(path: string, options?: ErrorOptions): BackupError {
  return new BackupError(
    "refused",
    `${path} is no backup of Retake: name a file that "retake backup" has made`,
    options,
  );
}

async function checkIntro(entry: ArchiveEntry, path: string): Promise<void> {
  if (entry.name !== introName) {
    throw notABackup(path);
  }
  const format = Number.parseInt(await textOf(entry, path), 10);
  if (format !== archiveFormat) {
    throw new BackupError(
      "refused",
      `${path} is a backup of format ${format}, and this program reads format ${archiveFormat}: use the one that made it`,
    );
  }
}

async function* hashing(body: AsyncIterable<Uint8Array>, hash: ReturnType<typeof createHash>) {
  for await (const chunk of body) {
    hash.update(chunk);
    yield chunk;
  }
}

/** The entries of a tar archive as it comes. */
async function* entriesOf(file: FileHandle, path: string): AsyncGenerator<ArchiveEntry> {
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(portionBytes), 0, portionBytes);
        if (bytesRead === 0) {
          controller.close();
        } else {
          controller.enqueue(buffer.subarray(0, bytesRead));
        }
      },
    },
    { highWaterMark: 1 },
  );
  let any = false;
  try {
    for await (const { header, body } of stream.pipeThrough(createTarDecoder({ strict: true }))) {
      any = true;
      if (header.type !== undefined && header.type !== "file") {
        throw damaged(path, `${JSON.stringify(header.name)} is no file`);
      }
      yield { name: header.name, size: header.size, body: bodyOf(body, path) };
    }
  } catch (error) {
    throw any ? readError(error, path) : notABackup(path, { cause: error });
  }
}

async function* bodyOf(body: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw readError(error, path);
  }
}

/** What the disk refuses is told as it is; all else is the archive's fault. */
function readError(error: unknown, path: string): unknown {
  const isOwn = error instanceof BackupError || (error instanceof Error && "syscall" in error);
  return isOwn ? error : damaged(path, error instanceof Error ? error.message : String(error), { cause: error });
}
