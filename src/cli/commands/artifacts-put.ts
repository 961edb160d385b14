import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import mime from "mime";
import { ArtifactSchema } from "../../../gen/retake/v1/artifact_pb.js";
import { CliError, UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { showBytes } from "../display/byte-size.ts";
import { plainText } from "../display/plain-text.ts";
import { ExitCode } from "../exit-code.ts";
import { type CliIo, writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";
import { showTransfer } from "../transfer.ts";

export const artifactsPut: Command = {
  description:
    "Uploads a file and prints its artifact id, which inputs refer to. What breaks off is continued by the same command.",
  positionals: [{ name: "FILE", description: "the file" }],
  flags: {
    name: { value: "NAME", description: "Another name than the file's" },
    "media-type": { value: "TYPE", description: "What kind of file it is. Default: what its extension says" },
  },
  examples: [
    ["retake artifacts put harbour.png", "Upload an image"],
    [
      `retake run ImageToVideo --input '{"image_artifact": {"artifact_id": "'$(retake artifacts put harbour.png)'"}}'`,
      "Start a run with it",
    ],
  ],
  async run(given, io) {
    const file = given.positional("FILE");
    const size = await sizeOf(file);
    const name = given.value("name") ?? basename(file);
    const mediaType = given.value("media-type") ?? mime.getType(file) ?? "application/octet-stream";
    const sha256 = await digestOf(file, io);
    using connection = await connect(given, io);
    const artifact = await showTransfer("uploading", size, given, io, ({ moved, lost }) =>
      connection.retake.artifacts.put((offset) => reading(file, offset), {
        ...{ name, mediaType, size, sha256 },
        uploadId: uploadIdOf(name, mediaType, sha256),
        onProgress: moved,
        onReconnect: lost,
        signal: io.signal,
      }),
    );
    if (given.has("json")) {
      const contracts = new Contracts(connection.retake, io.signal);
      writeLines(io.stdout, JSON.stringify(await messageJson(ArtifactSchema, artifact, contracts)));
      return ExitCode.ok;
    }
    // The id alone, so that a shell can take it.
    writeLines(io.stdout, artifact.artifactId);
    writeLines(io.stderr, `${plainText(artifact.name)}: ${showBytes(Number(artifact.size))}, ${artifact.mediaType}`);
    return ExitCode.ok;
  },
};

async function sizeOf(file: string): Promise<number> {
  try {
    const status = await stat(file);
    if (status.isFile()) return status.size;
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  throw new UsageError(`${file} is no file`);
}

/** Read twice, before it is sent: so that nothing is sent that is there already, and nothing arrives that was not sent. */
async function digestOf(file: string, io: CliIo): Promise<Uint8Array> {
  const hash = createHash("sha256");
  for await (const chunk of reading(file, 0)) {
    io.signal.throwIfAborted();
    hash.update(chunk);
  }
  return hash.digest();
}

async function* reading(file: string, offset: number): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const chunk of createReadStream(file, { start: offset, highWaterMark: 256 * 1024 })) {
      yield chunk as Buffer;
    }
  } catch (error) {
    throw new CliError(`${file} cannot be read: ${(error as Error).message}`, ExitCode.usage, { cause: error });
  }
}

/** The same file has the same upload, whoever continues it. */
function uploadIdOf(name: string, mediaType: string, sha256: Uint8Array): string {
  const digest = createHash("sha256")
    .update(JSON.stringify([name, mediaType]))
    .update(sha256)
    .digest("hex");
  // As long as a UUID, which callers without credentials must take.
  return digest.slice(0, 32);
}
