import { existsSync } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { backup, type DatabaseSync } from "node:sqlite";
import { create, toJsonString } from "@bufbuild/protobuf";
import { type BackupManifest, BackupManifestSchema } from "../../../gen/retake/v1/storage_pb.js";
import type { Clock } from "../../clock.ts";
import { syncDirectory } from "../../sync-directory.ts";
import { runStream } from "../ports/journal.ts";
import { timestampFromMs } from "../time.ts";
import { ArchiveWriter, archiveFormat } from "./backup-archive.ts";
import {
  artifactFileName,
  artifactIndexEntry,
  countArtifacts,
  forgetUploads,
  openArtifactIndex,
} from "./backup-artifacts.ts";
import { BackupError } from "./backup-error.ts";
import { writerOf } from "./migrate.ts";
import { openError } from "./open-database.ts";
import { openReadOnly } from "./open-read-only.ts";
import { packageIdentity } from "./package-identity.ts";
import { payloadFileName } from "./payload-file-names.ts";
import { assertIntact, openPrivateDatabase } from "./private-database.ts";
import { RunNames } from "./run-names.ts";
import { isDamage } from "./sqlite-error.ts";
import { countRows } from "./storage-counts.ts";
import { StreamTable } from "./stream-table.ts";

/** The entries of a backup besides payload files. */
export const databaseEntry = "retake.db";
export const manifestEntry = "manifest.json";

/** Pages that are copied between two looks at the signal. */
const pagesAtOnce = 4_096;
const filesAtOnce = 1_000;
const portionBytes = 1024 * 1024;
/** A file that is gone may be written again at this moment, for another run. */
const mostLooks = 5;

export interface BackupOptions {
  /** A data directory, of a server that may be running. */
  readonly directory: string;
  /** Made, and only once it is complete. */
  readonly file: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Told now and then how much of the two parts is done. */
  readonly onProgress?: (part: "database" | "files", done: number, total: number) => void;
}

/**
 * Copies a data directory into one file: the journal as it is at one moment, and all that it refers to.
 *
 * 1. The database is copied in one read transaction, beside whoever writes it, into a file beside the backup.
 * 2. Then the payload files that the copy refers to are added. They never change. One that is gone meanwhile belonged to
 *    runs that retention deletes: these are deleted in the copy too, as if it had been made a little later.
 * 3. The copy is added last, so that it refers to nothing that is not there. The file gets its name when it is durable.
 *
 * @throws JournalOpenError when the journal cannot be read, BackupError when the file cannot be made
 */
export async function backUp(options: BackupOptions): Promise<BackupManifest> {
  const { clock, signal } = options;
  const directory = resolve(options.directory);
  const file = resolve(options.file);
  if (existsSync(file)) {
    throw new BackupError("refused", `${file} exists: choose another name, or remove it first`);
  }
  const source = openReadOnly(directory);
  const unfinished = `${file}.unfinished`;
  const copyPath = `${file}.unfinished-database`;
  const indexCopyPath = `${file}.unfinished-artifacts`;
  let archive: FileHandle | undefined;
  let copy: DatabaseSync | undefined;
  let index: DatabaseSync | undefined;
  let indexCopy: DatabaseSync | undefined;
  try {
    // From here on nobody else makes this backup.
    archive = await openNew(unfinished);
    const createTimeMs = clock.now();
    await copyDatabase(source.database, copyPath, options);
    copy = openPrivateDatabase(copyPath);
    assertIntact(copy, `the journal in ${directory}`);
    // Behind the journal: an artifact is there before a run that refers to it.
    index = openArtifactIndex(directory);
    if (index !== undefined) {
      await copyDatabase(index, indexCopyPath, options);
      indexCopy = openPrivateDatabase(indexCopyPath);
      assertIntact(indexCopy, `the index of artifacts in ${directory}`);
      forgetUploads(indexCopy);
    }
    const writer = new ArchiveWriter(archive, createTimeMs);
    try {
      await writer.begin();
      const files = await addFiles(
        writer,
        { ...payloadStore, copy, source: source.database },
        { ...options, directory },
      );
      const counts = { ...countRows(copy), files: BigInt(files.count), fileBytes: BigInt(files.bytes) };
      let missing = files.missing;
      if (index !== undefined && indexCopy !== undefined) {
        const added = await addFiles(
          writer,
          { ...artifactStore, copy: indexCopy, source: index },
          { ...options, directory },
        );
        missing += added.missing;
        counts.artifacts = countArtifacts(indexCopy);
        indexCopy.close();
        indexCopy = undefined;
        counts.artifactBytes = BigInt(added.bytes + (await addFile(writer, artifactIndexEntry, indexCopyPath)));
      }
      copy.close();
      copy = undefined;
      const databaseBytes = await addFile(writer, databaseEntry, copyPath);
      const manifest = create(BackupManifestSchema, {
        format: archiveFormat,
        writtenBy: writerOf(packageIdentity()),
        createTime: timestampFromMs(createTimeMs),
        journalFormat: source.format,
        counts: { ...counts, databaseBytes: BigInt(databaseBytes) },
        missingFiles: BigInt(missing),
      });
      await writer.addText(manifestEntry, `${toJsonString(BackupManifestSchema, manifest, { prettySpaces: 2 })}\n`);
      await writer.finish();
      await archive.sync();
      signal.throwIfAborted();
      await rename(unfinished, file);
      await syncDirectory(dirname(file));
      return manifest;
    } catch (error) {
      await writer.abort(error);
      throw error;
    }
  } catch (error) {
    throw isDamage(error) ? openError(error, directory) : error;
  } finally {
    copy?.close();
    indexCopy?.close();
    index?.close();
    source.database.close();
    if (archive !== undefined) {
      await archive.close();
      await rm(unfinished, { force: true });
      for (const path of [copyPath, indexCopyPath]) {
        for (const suffix of ["", "-wal", "-journal"]) {
          await rm(`${path}${suffix}`, { force: true });
        }
      }
    }
  }
}

async function openNew(path: string): Promise<FileHandle> {
  try {
    return await open(path, "wx", 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") {
      throw new BackupError(
        "refused",
        `${path} exists: another backup to the same file is under way; if it is not, remove that file`,
        { cause: error },
      );
    }
    throw error;
  }
}

async function copyDatabase(source: DatabaseSync, path: string, options: BackupOptions): Promise<void> {
  const { signal, onProgress } = options;
  // Made here, so that nobody else can read it.
  openPrivateDatabase(path).close();
  // While this transaction lasts, all steps copy the same moment, whatever others commit.
  source.exec("BEGIN");
  try {
    source.prepare("SELECT count(*) FROM sqlite_schema").get();
    await backup(source, path, {
      rate: pagesAtOnce,
      progress: ({ totalPages, remainingPages }) => {
        signal.throwIfAborted();
        onProgress?.("database", totalPages - remainingPages, totalPages);
      },
    });
    signal.throwIfAborted();
  } finally {
    source.exec("COMMIT");
  }
}

/** Files by their digest, and the rows that refer to them. */
interface Store {
  /** A table, and which of its rows refer to files. */
  readonly rows: string;
  readonly nameOf: (sha256: Uint8Array) => string;
  /** Completes in the copy what the server has begun to delete. */
  readonly finishDeletion: (copy: DatabaseSync, sha256: Uint8Array) => void;
}

const payloadStore: Store = { rows: "payloads WHERE data IS NULL", nameOf: payloadFileName, finishDeletion };

const artifactStore: Store = {
  rows: "artifacts WHERE sha256 IS NOT NULL",
  nameOf: artifactFileName,
  finishDeletion: (copy, sha256) => {
    copy.prepare("DELETE FROM kept WHERE artifact IN (SELECT position FROM artifacts WHERE sha256 = ?)").run(sha256);
    copy.prepare("DELETE FROM artifacts WHERE sha256 = ?").run(sha256);
  },
};

interface Files {
  readonly count: number;
  readonly bytes: number;
  readonly missing: number;
}

async function addFiles(
  writer: ArchiveWriter,
  store: Store & { readonly copy: DatabaseSync; readonly source: DatabaseSync },
  options: BackupOptions,
): Promise<Files> {
  const { directory, signal, onProgress } = options;
  const { copy, source, rows: table, nameOf } = store;
  const next = copy.prepare(`SELECT DISTINCT sha256 FROM ${table} AND sha256 > ? ORDER BY sha256 LIMIT ?`);
  const total = Number(copy.prepare(`SELECT count(DISTINCT sha256) AS count FROM ${table}`).get()?.["count"]);
  const isReferredTo = source.prepare(`SELECT 1 FROM ${table} AND sha256 = ? LIMIT 1`);
  let count = 0;
  let bytes = 0;
  let missing = 0;
  let after: Uint8Array = new Uint8Array();
  for (;;) {
    const rows = next.all(after, filesAtOnce);
    for (const row of rows) {
      signal.throwIfAborted();
      const sha256 = row["sha256"] as Uint8Array;
      after = sha256;
      const name = nameOf(sha256);
      const size = await addLasting(writer, name, join(directory, name), () => isReferredTo.get(sha256) !== undefined);
      if (size === "deleted") {
        store.finishDeletion(copy, sha256);
      } else if (size === "missing") {
        missing++;
      } else {
        count++;
        bytes += size;
      }
      onProgress?.("files", count, total);
    }
    if (rows.length < filesAtOnce) {
      return { count, bytes, missing };
    }
  }
}

/** Adds a file; says so when it is gone, and whether it ought to be. */
async function addLasting(
  writer: ArchiveWriter,
  name: string,
  path: string,
  isReferredTo: () => boolean,
): Promise<number | "deleted" | "missing"> {
  for (let look = 0; look < mostLooks; look++) {
    try {
      return await addFile(writer, name, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
        throw error;
      }
    }
    // A file is removed after its last row, and there before its first: the order of these two looks tells them apart.
    if (!isReferredTo()) {
      return "deleted";
    }
  }
  return "missing";
}

async function addFile(writer: ArchiveWriter, name: string, path: string): Promise<number> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    await writer.add(name, size, file.createReadStream({ autoClose: false, highWaterMark: portionBytes }));
    return size;
  } finally {
    await file.close();
  }
}

/** Deletes the runs that own a file, with all that they own. */
function finishDeletion(copy: DatabaseSync, sha256: Uint8Array): void {
  const runs = copy.prepare("SELECT run FROM payloads WHERE sha256 = ? AND data IS NULL").all(sha256);
  copy.exec("BEGIN");
  const streams = new StreamTable(copy, new RunNames(copy));
  const deletePayloads = copy.prepare("DELETE FROM payloads WHERE run = ?");
  for (const { run } of runs) {
    deletePayloads.run(String(run));
  }
  streams.delete(runs.map(({ run }) => runStream(String(run))));
  while (streams.deleteMarked()) {
    // The next portion.
  }
  copy.exec("COMMIT");
}
