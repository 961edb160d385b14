import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { type Artifact, ArtifactSchema } from "../../../gen/retake/v1/artifact_pb.js";
import type { ArtifactsClient } from "../../client/index.ts";
import { artifactIdPositional, parseArtifactId } from "../artifact-id.ts";
import { CliError, UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { showBytes } from "../display/byte-size.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";
import { showTransfer, type Transfer } from "../transfer.ts";

export const artifactsGet: Command = {
  description: "Downloads an artifact into a file. What breaks off is continued by the same command.",
  positionals: [artifactIdPositional],
  flags: {
    output: { short: "o", value: "FILE", description: "Where to. Default: the artifact's own name, in this directory" },
    force: { short: "f", description: "Replace a file that is there" },
  },
  examples: [
    ["retake artifacts get 4f2a9c0e7b1d4a6f8e3c5d2b1a0f9e8d -o film.mp4", "Save a film"],
    ["retake artifacts get 4f2a9c0e7b1d4a6f8e3c5d2b1a0f9e8d --json", "Save it, and print what it is"],
  ],
  async run(given, io) {
    const artifactId = parseArtifactId(given.positional("ARTIFACT_ID"));
    using connection = await connect(given, io);
    const { artifacts } = connection.retake;
    const { artifact } = await artifacts.get(artifactId, { signal: io.signal });
    const file = given.value("output") ?? fileNameOf(artifact);
    if (file === "") throw new UsageError("--output: the file's name is missing");
    if (!given.has("force") && (await sizeOf(file)) !== undefined) {
      throw new UsageError(`${file} exists: name another file with --output, or replace it with --force`);
    }
    await showTransfer("downloading", Number(artifact.size), given, io, (transfer) =>
      download(artifacts, artifact, file, transfer, io.signal),
    );
    if (given.has("json")) {
      const contracts = new Contracts(connection.retake, io.signal);
      writeLines(io.stdout, JSON.stringify(await messageJson(ArtifactSchema, artifact, contracts)));
    } else {
      writeLines(io.stdout, file);
      writeLines(io.stderr, `${showBytes(Number(artifact.size))}, ${artifact.mediaType}`);
    }
    return ExitCode.ok;
  },
};

/** Whoever uploads chooses a name, but not where it goes. */
function fileNameOf({ artifactId, name }: Artifact): string {
  const harmless = name !== "" && name !== "." && name !== ".." && !/[/\\]/.test(name) && !name.includes("\0");
  return harmless ? name : artifactId;
}

/** Fills a file beside the one that is wanted, which then gets its name: that one is whole or not there. */
async function download(
  artifacts: ArtifactsClient,
  artifact: Artifact,
  file: string,
  transfer: Transfer,
  signal: AbortSignal,
): Promise<void> {
  const part = `${file}.${artifact.artifactId}.part`;
  const hash = createHash("sha256");
  const had = await readBefore(part, Number(artifact.size), hash);
  transfer.moved(had);
  const target = await opened(part, had, file);
  try {
    await append(artifacts, artifact, target, { had, hash, transfer, signal });
  } finally {
    await target.close();
  }
  if (hash.digest().compare(artifact.sha256) !== 0) {
    await rm(part, { force: true });
    throw new CliError(
      `what arrived is not artifact ${artifact.artifactId}: its SHA-256 is another one; run the command again`,
      ExitCode.refused,
    );
  }
  await rename(part, file).catch((error: unknown) => {
    throw unwritable(file, error);
  });
}

interface Appending {
  readonly had: number;
  readonly hash: Hash;
  readonly transfer: Transfer;
  readonly signal: AbortSignal;
}

async function append(
  artifacts: ArtifactsClient,
  { artifactId, size }: Artifact,
  target: FileHandle,
  { had, hash, transfer, signal }: Appending,
): Promise<void> {
  if (BigInt(had) === size) return;
  const content = await artifacts.get(artifactId, {
    offset: had,
    signal,
    onProgress: transfer.moved,
    onReconnect: transfer.lost,
  });
  let position = had;
  for await (const chunk of content) {
    hash.update(chunk);
    for (let start = 0; start < chunk.length; ) {
      const rest = chunk.length - start;
      const { bytesWritten } = await target.write(chunk, start, rest, position).catch((error: unknown) => {
        throw unwritable("the file", error);
      });
      start += bytesWritten;
      position += bytesWritten;
    }
  }
}

/** Digests what an earlier call has left, and returns how much that is: nothing if it is more than there can be. */
async function readBefore(part: string, size: number, hash: Hash): Promise<number> {
  const had = (await sizeOf(part)) ?? 0;
  if (had === 0 || had > size) return 0;
  for await (const chunk of createReadStream(part)) hash.update(chunk as Buffer);
  return had;
}

async function opened(part: string, had: number, file: string): Promise<FileHandle> {
  try {
    return await open(part, had > 0 ? "r+" : "w");
  } catch (error) {
    throw unwritable(file, error);
  }
}

function unwritable(file: string, cause: unknown): CliError {
  return new CliError(`${file} cannot be written: ${(cause as Error).message}`, ExitCode.refused, { cause });
}

async function sizeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).size;
  } catch {
    return undefined;
  }
}
