import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** Where artifacts are, within a data directory: their files by digest, and the index, which begins to exist with them. */
export const artifactsFolder = "artifacts";
export const artifactIndexEntry = `${artifactsFolder}/index.sqlite`;

const busyTimeoutMs = 10_000;

/** The path of an artifact's file within a data directory, always with slashes. */
export function artifactFileName(sha256: Uint8Array): string {
  const name = Buffer.from(sha256.buffer, sha256.byteOffset, sha256.length).toString("hex");
  return `${artifactsFolder}/${name.slice(0, 2)}/${name.slice(2)}`;
}

export function isArtifactFileName(name: string): boolean {
  return /^artifacts\/[0-9a-f]{2}\/[0-9a-f]{62}$/.test(name);
}

/** Opens the index to read it, also beside a server; undefined where nobody has stored an artifact. */
export function openArtifactIndex(directory: string): DatabaseSync | undefined {
  const path = join(directory, artifactIndexEntry);
  return existsSync(path) ? new DatabaseSync(path, { readOnly: true, timeout: busyTimeoutMs }) : undefined;
}

/** Uploads that have not ended are not backed up: their callers begin anew. */
export function forgetUploads(copy: DatabaseSync): void {
  copy.exec("DELETE FROM uploads WHERE artifact IS NULL");
}

export function countArtifacts(index: DatabaseSync): bigint {
  return BigInt(Number(index.prepare("SELECT count(*) AS count FROM artifacts").get()?.["count"]));
}
