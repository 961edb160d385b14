import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { create } from "@bufbuild/protobuf";
import { type StorageReport, StorageReportSchema } from "../../../gen/retake/v1/storage_pb.js";
import type { Clock } from "../../clock.ts";
import { type PayloadCodec, plainCodec } from "../ports/payloads.ts";
import { checkArtifacts } from "./check-artifacts.ts";
import { checkPayloadFiles, checkPayloadRows } from "./check-payloads.ts";
import { checkStreams } from "./check-streams.ts";
import { lockDirectory } from "./directory-lock.ts";
import { Findings } from "./findings.ts";
import { restoringFolder } from "./open-database.ts";
import { openReadOnly } from "./open-read-only.ts";
import { integrityProblems } from "./private-database.ts";
import { describe, isDamage } from "./sqlite-error.ts";
import { countRows } from "./storage-counts.ts";

export interface CheckOptions {
  /** The data directory of a server that does not run. */
  readonly directory: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** How payloads look at rest. Default: plain. */
  readonly codec?: PayloadCodec;
  /** Told now and then how much of a part is done. */
  readonly onProgress?: (part: "streams" | "payloads" | "files" | "artifacts", done: number) => void;
}

export type CheckPart = Parameters<NonNullable<CheckOptions["onProgress"]>>[0];

/** Rows between two turns of the event loop: about 5 ms. */
const stepsAtOnce = 200;

/**
 * Looks at everything in a data directory and changes nothing: SQLite's own check, every event of every run, the index,
 * every payload and every artifact.
 *
 * @throws JournalOpenError that names the holder of a directory that is in use, or says why the journal cannot be opened
 */
export async function checkStorage(options: CheckOptions): Promise<StorageReport> {
  const { clock, codec = plainCodec } = options;
  const directory = resolve(options.directory);
  // Before a lock is made: a directory that is no data directory stays as it is.
  openReadOnly(directory).database.close();
  const lock = lockDirectory(directory, clock);
  try {
    const { database, format, writtenBy } = openReadOnly(directory);
    try {
      const findings = new Findings();
      const totals = { files: 0, fileBytes: 0, artifacts: 0n, artifactBytes: 0 };
      await tolerantly(findings, async () => {
        for (const problem of integrityProblems(database, false)) {
          findings.problem(`the database is damaged: ${problem}`);
        }
      });
      await tolerantly(findings, () => paced("streams", checkStreams(database, findings), options));
      await tolerantly(findings, () => paced("payloads", checkPayloadRows(database, codec, findings), options));
      await tolerantly(findings, () =>
        paced("files", checkPayloadFiles(directory, database, codec, findings, totals), options),
      );
      await tolerantly(
        findings,
        () => paced("artifacts", checkArtifacts(directory, database, findings, totals), options),
        "the index of artifacts",
      );
      if (existsSync(join(directory, restoringFolder))) {
        findings.leftover(`a restore has left ${join(directory, restoringFolder)}`);
      }
      const report = create(StorageReportSchema, { directory, writtenBy, journalFormat: format });
      await tolerantly(findings, async () => {
        report.counts = {
          ...countRows(database),
          files: BigInt(totals.files),
          fileBytes: BigInt(totals.fileBytes),
          artifacts: totals.artifacts,
          artifactBytes: BigInt(totals.artifactBytes),
        };
        report.freeBytes = freeBytes(database);
      });
      return Object.assign(report, findings.told);
    } finally {
      database.close();
    }
  } finally {
    lock.release();
  }
}

/** What cannot be read because of damage is a finding like others, and the check goes on with the next part. */
async function tolerantly(findings: Findings, part: () => Promise<void>, what = "the database"): Promise<void> {
  try {
    await part();
  } catch (error) {
    if (!isDamage(error)) {
      throw error;
    }
    findings.problem(`${what} is damaged, and a part of it cannot be read: ${describe(error)}`);
  }
}

/** Takes steps, with turns of the event loop in between, so that it can be interrupted. */
async function paced(part: CheckPart, steps: Iterable<void> | AsyncIterable<void>, options: CheckOptions) {
  const { clock, signal, onProgress } = options;
  let done = 0;
  for await (const _ of steps) {
    if (++done % stepsAtOnce === 0) {
      onProgress?.(part, done);
      await new Promise<void>((next) => clock.setImmediate(next));
      signal.throwIfAborted();
    }
  }
}

function freeBytes(database: DatabaseSync): bigint {
  const row = database
    .prepare("SELECT freelist_count * page_size AS bytes FROM pragma_freelist_count, pragma_page_size")
    .get();
  return BigInt(Number(row?.["bytes"]));
}
