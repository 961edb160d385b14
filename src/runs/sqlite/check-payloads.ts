import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { type PayloadCodec, payloadDigest } from "../ports/payloads.ts";
import type { Findings } from "./findings.ts";
import { payloadDigestOf, payloadFileName, payloadFileNames, payloadsFolder } from "./payload-file-names.ts";

/** What was found of the files. */
export interface FileTotals {
  files: number;
  fileBytes: number;
}

/** Looks at each payload in the table: whether it can be decoded, and is what its digest says. Yields after each. */
export function* checkPayloadRows(database: DatabaseSync, codec: PayloadCodec, findings: Findings): Generator<void> {
  const rows = database.prepare(
    `SELECT run, sha256, size, data, EXISTS (SELECT 1 FROM streams WHERE name = 'run/' || run) AS owned
      FROM payloads ORDER BY id`,
  );
  for (const row of rows.iterate()) {
    const runId = String(row["run"]);
    const sha256 = row["sha256"] as Uint8Array;
    if (row["owned"] === 0) {
      findings.leftover(`payload ${hex(sha256)} belongs to run ${runId}, which is not there`, runId);
    }
    const data = row["data"] as Uint8Array | null;
    const problem = data === null ? undefined : payloadProblem(data, sha256, codec, Number(row["size"]));
    if (problem !== undefined) {
      findings.problem(`payload ${hex(sha256)} of run ${runId} ${problem}`, runId);
    }
    yield;
  }
}

/** Looks at each payload file that a row refers to, and for those that none does. Yields after each. */
export async function* checkPayloadFiles(
  directory: string,
  database: DatabaseSync,
  codec: PayloadCodec,
  findings: Findings,
  totals: FileTotals,
): AsyncGenerator<void> {
  const rows = database.prepare("SELECT sha256, min(run) AS run FROM payloads WHERE data IS NULL GROUP BY sha256");
  for (const row of rows.iterate()) {
    const sha256 = row["sha256"] as Uint8Array;
    const runId = String(row["run"]);
    const name = payloadFileName(sha256);
    if (existsSync(join(directory, name))) {
      // As a whole: the server reads it so too, and no payload is larger than a message may be.
      const bytes = await readFile(join(directory, name));
      const problem = payloadProblem(bytes, sha256, codec);
      totals.files++;
      totals.fileBytes += bytes.length;
      if (problem !== undefined) {
        findings.problem(`${name} of run ${runId} ${problem}`, runId);
      }
    } else {
      findings.problem(`${name} of run ${runId} is not there`, runId);
    }
    yield;
  }
  const owner = database.prepare("SELECT 1 FROM payloads WHERE sha256 = ? AND data IS NULL LIMIT 1");
  for await (const name of payloadFileNames(directory)) {
    const sha256 = payloadDigestOf(name);
    if (sha256 !== undefined && owner.get(sha256) === undefined) {
      findings.leftover(`no run refers to ${name}`);
    }
    yield;
  }
  const unfinished = join(directory, payloadsFolder, "unfinished");
  const names = existsSync(unfinished) ? await readdir(unfinished) : [];
  if (names.length > 0) {
    findings.leftover(`${names.length} payload files in ${unfinished} were never finished`);
  }
}

function payloadProblem(
  stored: Uint8Array,
  sha256: Uint8Array,
  codec: PayloadCodec,
  size?: number,
): string | undefined {
  let bytes: Uint8Array;
  try {
    bytes = codec.decode(stored);
  } catch (error) {
    return `cannot be decoded: ${error instanceof Error ? error.message : error}`;
  }
  if (size !== undefined && size !== bytes.length) {
    return `has ${bytes.length} bytes, and the table says ${size}`;
  }
  return Buffer.compare(payloadDigest(bytes), sha256) === 0 ? undefined : "has bytes of another digest";
}

function hex(sha256: Uint8Array): string {
  return Buffer.from(sha256).toString("hex");
}
