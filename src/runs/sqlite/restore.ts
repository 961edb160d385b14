import { existsSync, mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm, rmdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { StatementSync } from "node:sqlite";
import { fromJsonString } from "@bufbuild/protobuf";
import { type BackupManifest, BackupManifestSchema } from "../../../gen/retake/v1/storage_pb.js";
import type { Clock } from "../../clock.ts";
import { syncDirectory } from "../../sync-directory.ts";
import { databaseEntry, manifestEntry } from "./backup.ts";
import { type ArchiveEntry, damaged, readArchive, textOf } from "./backup-archive.ts";
import {
  artifactFileName,
  artifactIndexEntry,
  artifactsFolder,
  countArtifacts,
  isArtifactFileName,
} from "./backup-artifacts.ts";
import { BackupError } from "./backup-error.ts";
import { lockDirectory, lockName } from "./directory-lock.ts";
import { checkFormat } from "./migrate.ts";
import { migrations } from "./migrations.ts";
import { databasePath, restoringFolder } from "./open-database.ts";
import { packageIdentity } from "./package-identity.ts";
import { payloadDigestOf, payloadFileName, payloadsFolder } from "./payload-file-names.ts";
import { assertIntact, openPrivateDatabase } from "./private-database.ts";
import { describe, isDamage } from "./sqlite-error.ts";
import { countRows } from "./storage-counts.ts";

export interface RestoreOptions {
  readonly file: string;
  /** Made if it does not exist; must be empty. */
  readonly directory: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Told now and then how many bytes have been read. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/** What an empty data directory may have in it: our locks, and what file systems put there. */
const ignored = new Set([lockName, `${lockName}-journal`, "lock-holder", "lost+found"]);

/**
 * Makes a data directory of a backup. Everything is unpacked and verified in a folder within it, which may be a volume of
 * its own; then it gets its names, the database last: before that the directory holds no journal, and a server that is
 * started there says that the restore has not ended.
 *
 * @throws BackupError when the directory is not empty, or the backup cannot be used; JournalOpenError when it is in use
 */
export async function restore(options: RestoreOptions): Promise<BackupManifest> {
  const directory = resolve(options.directory);
  const file = await openBackup(options.file);
  try {
    const made = mkdirSync(directory, { recursive: true, mode: 0o700 });
    assertEmpty(directory);
    const wasLocked = existsSync(join(directory, lockName));
    let restored = false;
    const lock = lockDirectory(directory, options.clock);
    try {
      const staging = join(directory, restoringFolder);
      await discard(directory);
      try {
        const manifest = await unpack(file, staging, options);
        await publish(staging, directory);
        restored = true;
        return manifest;
      } catch (error) {
        await discard(directory);
        throw error;
      }
    } finally {
      lock.release({ leavesNothing: !restored && !wasLocked });
      if (!restored && made !== undefined) removeEmpty(directory, made);
    }
  } finally {
    await file.close();
  }
}

async function openBackup(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new BackupError("refused", `there is no file ${path}`, { cause: error });
    }
    throw error;
  }
}

function assertEmpty(directory: string): void {
  if (existsSync(databasePath(directory))) {
    throw new BackupError(
      "refused",
      `${directory} has a journal in it: restore into another directory, or move this one away first`,
    );
  }
  // An earlier restore that did not come to its end has left only what it has put there itself.
  const own = existsSync(join(directory, restoringFolder)) ? [restoringFolder, payloadsFolder, artifactsFolder] : [];
  const present = readdirSync(directory).find((name) => !ignored.has(name) && !own.includes(name));
  if (present !== undefined) {
    throw new BackupError(
      "refused",
      `${directory} is not empty, it has ${present} in it: restore into another directory`,
    );
  }
}

/** Removes what an unfinished restore has put into a directory without a journal; the folder that tells of it last. */
async function discard(directory: string): Promise<void> {
  const staging = join(directory, restoringFolder);
  if (existsSync(staging) && !existsSync(databasePath(directory))) {
    await rm(join(directory, payloadsFolder), { recursive: true, force: true });
    await rm(join(directory, artifactsFolder), { recursive: true, force: true });
    await rm(staging, { recursive: true, force: true });
  }
}

/** Removes a folder, and those that it is in up to another one, as far as nobody has put anything there. */
function removeEmpty(directory: string, upTo: string): void {
  try {
    for (let folder = directory; folder.startsWith(upTo); folder = dirname(folder)) rmdirSync(folder);
  } catch {
    // It is no harm that it stays.
  }
}

async function unpack(file: FileHandle, staging: string, options: RestoreOptions): Promise<BackupManifest> {
  const { signal, onProgress } = options;
  const path = options.file;
  const { size: totalBytes } = await file.stat();
  await mkdir(staging, { mode: 0o700 });
  let doneBytes = 0;
  let files = 0;
  let manifest: BackupManifest | undefined;
  for await (const entry of readArchive(file, path)) {
    signal.throwIfAborted();
    if (entry.name === manifestEntry) {
      manifest = parseManifest(await textOf(entry, path), path);
    } else if (entry.name === databaseEntry) {
      await unpackFile(entry, join(staging, databaseEntry), signal);
    } else if (payloadDigestOf(entry.name) !== undefined) {
      await unpackFile(entry, join(staging, ...entry.name.split("/")), signal);
      files++;
    } else if (isArtifactFileName(entry.name) || entry.name === artifactIndexEntry) {
      await unpackFile(entry, join(staging, ...entry.name.split("/")), signal);
    } else {
      throw damaged(path, `it has ${JSON.stringify(entry.name)} in it`);
    }
    doneBytes += entry.size;
    onProgress?.(Math.min(doneBytes, totalBytes), totalBytes);
  }
  if (manifest === undefined || !existsSync(join(staging, databaseEntry))) {
    throw damaged(path, "it has no journal in it");
  }
  verify(staging, manifest, files, path);
  await syncFolders(staging);
  return manifest;
}

function parseManifest(text: string, path: string): BackupManifest {
  try {
    return fromJsonString(BackupManifestSchema, text, { ignoreUnknownFields: true });
  } catch (error) {
    throw damaged(path, `${manifestEntry} cannot be read`, { cause: error });
  }
}

async function unpackFile(entry: ArchiveEntry, path: string, signal: AbortSignal): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(path, "wx", 0o600);
  try {
    for await (const chunk of entry.body) {
      signal.throwIfAborted();
      for (let done = 0; done < chunk.length; ) {
        done += (await file.write(chunk, done)).bytesWritten;
      }
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

function verify(staging: string, manifest: BackupManifest, files: number, path: string): void {
  const database = openPrivateDatabase(join(staging, databaseEntry));
  try {
    checkFormat(database, migrations, { ...packageIdentity(), directory: path });
    assertIntact(database, `the journal in ${path}`);
    const found = { ...countRows(database), files: BigInt(files) };
    for (const name of ["runs", "openRuns", "events", "payloads", "files"] as const) {
      const told = manifest.counts?.[name] ?? 0n;
      if (found[name] !== told) {
        throw damaged(path, `it has ${found[name]} ${words[name]}, and says that it has ${told}`);
      }
    }
    const payloads = database.prepare("SELECT DISTINCT sha256 FROM payloads WHERE data IS NULL");
    const missing = missingFiles(payloads, staging, payloadFileName) + verifyArtifacts(staging, manifest, path);
    if (missing !== manifest.missingFiles) {
      throw damaged(path, `${missing} files are missing, and it says ${manifest.missingFiles}`);
    }
  } catch (error) {
    throw isDamage(error) ? damaged(path, describe(error), { cause: error }) : error;
  } finally {
    database.close();
  }
}

const words = {
  runs: "runs",
  openRuns: "open runs",
  events: "events",
  payloads: "payloads",
  files: "payload files",
} as const;

/** Returns how many of their files are missing. */
function verifyArtifacts(staging: string, manifest: BackupManifest, path: string): bigint {
  const told = manifest.counts?.artifacts ?? 0n;
  if (!existsSync(join(staging, artifactIndexEntry))) {
    if (told !== 0n) {
      throw damaged(path, `it has no artifacts, and says that it has ${told}`);
    }
    return 0n;
  }
  const index = openPrivateDatabase(join(staging, artifactIndexEntry));
  try {
    assertIntact(index, `the index of artifacts in ${path}`);
    const found = countArtifacts(index);
    if (found !== told) {
      throw damaged(path, `it has ${found} artifacts, and says that it has ${told}`);
    }
    return missingFiles(index.prepare("SELECT DISTINCT sha256 FROM artifacts"), staging, artifactFileName);
  } finally {
    index.close();
  }
}

function missingFiles(rows: StatementSync, staging: string, nameOf: (sha256: Uint8Array) => string): bigint {
  let missing = 0n;
  for (const { sha256 } of rows.iterate()) {
    if (!existsSync(join(staging, nameOf(sha256 as Uint8Array)))) {
      missing++;
    }
  }
  return missing;
}

async function syncFolders(staging: string): Promise<void> {
  for (const name of [payloadsFolder, artifactsFolder]) {
    const root = join(staging, name);
    if (existsSync(root)) {
      for (const entry of readdirSync(root, { withFileTypes: true })) {
        if (entry.isDirectory()) {
          await syncDirectory(join(root, entry.name));
        }
      }
      await syncDirectory(root);
    }
  }
  await syncDirectory(staging);
}

/** With the last renaming there is a journal; all that it refers to is there by then. */
async function publish(staging: string, directory: string): Promise<void> {
  for (const name of [payloadsFolder, artifactsFolder]) {
    if (existsSync(join(staging, name))) {
      await rename(join(staging, name), join(directory, name));
    }
  }
  await syncDirectory(directory);
  await rename(join(staging, databaseEntry), databasePath(directory));
  await syncDirectory(directory);
  await rmdir(staging);
}
