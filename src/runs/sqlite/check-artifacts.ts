import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import {
  artifactFileName,
  artifactIndexEntry,
  artifactsFolder,
  countArtifacts,
  isArtifactFileName,
  openArtifactIndex,
} from "./backup-artifacts.ts";
import type { Findings } from "./findings.ts";
import { integrityProblems } from "./private-database.ts";

/** What was found of them. */
export interface ArtifactTotals {
  artifacts: bigint;
  artifactBytes: number;
}

const portionBytes = 1024 * 1024;

/**
 * Looks at the index of artifacts, at what runs keep, and at each of their files: whether it is there and has the bytes
 * that its digest says. Yields after each portion of a file.
 */
export async function* checkArtifacts(
  directory: string,
  journal: DatabaseSync,
  findings: Findings,
  totals: ArtifactTotals,
): AsyncGenerator<void> {
  const index = openArtifactIndex(directory);
  if (index === undefined) {
    return;
  }
  try {
    for (const problem of integrityProblems(index, false)) {
      findings.problem(`${artifactIndexEntry} is damaged: ${problem}`);
    }
    totals.artifacts = countArtifacts(index);
    totals.artifactBytes = (await stat(join(directory, artifactIndexEntry))).size;
    yield* checkKeepers(index, journal, findings);
    const rows = index.prepare(
      "SELECT sha256, min(id) AS id, min(size) AS least, max(size) AS most FROM artifacts GROUP BY sha256",
    );
    for (const { sha256, id, least, most } of rows.iterate()) {
      const digest = sha256 as Uint8Array;
      const name = artifactFileName(digest);
      const size = yield* checkFile(join(directory, name), digest, `${name} of artifact ${id}`, findings);
      totals.artifactBytes += size ?? 0;
      if (size !== undefined && (size !== Number(least) || size !== Number(most))) {
        findings.problem(`${name} of artifact ${id} has ${size} bytes, and the index says ${least}`);
      }
    }
    yield* checkUnowned(directory, index, findings);
  } finally {
    index.close();
  }
}

function* checkKeepers(index: DatabaseSync, journal: DatabaseSync, findings: Findings): Generator<void> {
  const isRun = journal.prepare("SELECT 1 FROM streams WHERE name = 'run/' || ?");
  for (const { run, known } of index
    .prepare("SELECT run, id IS NOT NULL AS known FROM kept LEFT JOIN artifacts ON position = artifact")
    .iterate()) {
    const runId = String(run);
    if (isRun.get(runId) === undefined) {
      findings.leftover(`run ${runId} keeps an artifact, and is not there`, runId);
    } else if (known === 0) {
      findings.problem(`run ${runId} keeps an artifact that is not there`, runId);
    }
    yield;
  }
  const miscounted = index.prepare(
    `SELECT id, keepers, (SELECT count(*) FROM kept WHERE artifact = position) AS found FROM artifacts
      WHERE keepers <> found`,
  );
  for (const { id, keepers, found } of miscounted.iterate()) {
    findings.problem(`artifact ${id} is kept by ${found} of the runs, and its row says ${keepers}`);
    yield;
  }
}

/** The size of a file, which may be larger than the memory; undefined where there is none. */
async function* checkFile(
  path: string,
  sha256: Uint8Array,
  what: string,
  findings: Findings,
): AsyncGenerator<void, number | undefined> {
  if (!existsSync(path)) {
    findings.problem(`${what} is not there`);
    return undefined;
  }
  const hash = createHash("sha256");
  let size = 0;
  for await (const portion of createReadStream(path, { highWaterMark: portionBytes }) as AsyncIterable<Buffer>) {
    hash.update(portion);
    size += portion.length;
    yield;
  }
  if (Buffer.compare(hash.digest(), sha256) !== 0) {
    findings.problem(`${what} has bytes of another digest`);
  }
  return size;
}

async function* checkUnowned(directory: string, index: DatabaseSync, findings: Findings): AsyncGenerator<void> {
  const owner = index.prepare("SELECT 1 FROM artifacts WHERE sha256 = ? LIMIT 1");
  for (const folder of await readdir(join(directory, artifactsFolder))) {
    if (/^[0-9a-f]{2}$/.test(folder)) {
      for (const file of await readdir(join(directory, artifactsFolder, folder))) {
        const name = `${artifactsFolder}/${folder}/${file}`;
        if (isArtifactFileName(name) && !isOwned(owner, folder + file)) {
          findings.leftover(`no artifact has ${name}`);
        }
        yield;
      }
    }
  }
}

function isOwned(owner: StatementSync, digest: string): boolean {
  return owner.get(Buffer.from(digest, "hex")) !== undefined;
}
