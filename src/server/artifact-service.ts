import { create } from "@bufbuild/protobuf";
import { Code, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import {
  type ArtifactService,
  type DownloadArtifactResponse,
  DownloadArtifactResponseSchema,
  ListArtifactsRequestSchema,
  type UploadArtifactRequest,
  type UploadStart,
} from "../../gen/retake/v1/artifact_pb.js";
import {
  type ArtifactFilter,
  artifactConnectError,
  artifactMessage,
  createError,
  draining,
  type StoredArtifact,
  unknownArtifact,
} from "../runs/index.ts";
import { artifactReader, principalKey, sees } from "../security/index.ts";
import type { Engine } from "./engine.ts";
import { ownerOf } from "./owner-of.ts";
import { createPageToken, pageScope, parsePosition } from "./page-token.ts";
import { assertOwnName, assertSomebody, withinReach } from "./visible-runs.ts";

const defaultPage = 50;

/** Of a downloaded chunk, unless messages must be smaller: what gRPC implementations take to be a good size. */
const chunkBytes = 64 * 1024;
/** What a message has around its bytes. */
const envelopeBytes = 64;

/** `retake.v1.ArtifactService` over an engine. Requests have passed their rules. */
export function createArtifactService(engine: Engine): ServiceImpl<typeof ArtifactService> {
  const { artifacts } = engine;
  const longestChunk = Math.min(chunkBytes, engine.maxMessageBytes - envelopeBytes);
  return {
    async uploadArtifact(requests, context) {
      const parts = requests[Symbol.asyncIterator]();
      const start = await startOf(parts);
      assertOwnName(context.values.get(principalKey), start.uploadId, "upload_id");
      let digest: Uint8Array | undefined = start.sha256.length === 0 ? undefined : start.sha256;
      const content = chunksOf(parts, (sha256) => {
        digest = sha256;
      });
      const call = engine.openCalls.begin(context);
      const artifact = await translated(() =>
        artifacts.write(content, {
          owner: ownerOf(context),
          name: start.name,
          mediaType: start.mediaType || "application/octet-stream",
          sha256: start.sha256.length === 0 ? () => digest : start.sha256,
          offset: Number(start.offset),
          signal: call.signal,
          ...(start.size === undefined ? {} : { size: Number(start.size) }),
          ...(start.uploadId === "" ? {} : { uploadId: start.uploadId }),
        }),
      ).finally(() => engine.openCalls.end(call));
      return { artifact: artifactMessage(artifact) };
    },

    async getUpload({ uploadId }, context) {
      const found = await translated(() => artifacts.findUpload(ownerOf(context), uploadId));
      if (found === undefined) {
        throw createError(
          Code.NotFound,
          "UPLOAD_NOT_FOUND",
          `there is no upload ${JSON.stringify(uploadId)}: nothing of it has arrived, or it was not continued for too long; begin it at offset 0`,
        );
      }
      const { offset, artifact } = found;
      return { offset: BigInt(offset), ...(artifact === undefined ? {} : { artifact: artifactMessage(artifact) }) };
    },

    async *downloadArtifact({ artifactId, offset, length }, context) {
      const artifact = await found(engine, context, artifactId);
      const from = Number(offset);
      if (from > artifact.size) {
        throw createError(
          Code.OutOfRange,
          "ARTIFACT_OFFSET",
          `artifact ${artifactId} has ${artifact.size} bytes: there is no byte ${offset}`,
        );
      }
      yield create(DownloadArtifactResponseSchema, {
        part: { case: "artifact", value: artifactMessage(artifact) },
      });
      const range = { offset: from, length: length === undefined ? Number.POSITIVE_INFINITY : Number(length) };
      try {
        for await (const bytes of artifacts.read(artifact, range)) {
          for (let start = 0; start < bytes.length; start += longestChunk) {
            context.signal.throwIfAborted();
            if (engine.closing.signal.aborted) {
              throw draining();
            }
            yield chunkOf(bytes.subarray(start, start + longestChunk));
          }
        }
      } catch (error) {
        throw artifactConnectError(error);
      }
    },

    async getArtifact({ artifactId }, context) {
      return { artifact: artifactMessage(await found(engine, context, artifactId)) };
    },

    async listArtifacts(request, context) {
      const principal = context.values.get(principalKey);
      assertSomebody(principal, "artifacts");
      const { pageSize, pageToken, owner, runId } = request;
      const scope = pageScope(
        ListArtifactsRequestSchema,
        create(ListArtifactsRequestSchema, { ...request, pageSize: 0, pageToken: "" }),
      );
      const reach = withinReach(
        artifactReader(principal),
        owner && { tenant: owner.tenant || "default", subject: owner.subject },
      );
      if (reach === undefined) {
        return { artifacts: [], nextPageToken: "" };
      }
      const filter: ArtifactFilter = { ...reach, ...(runId === "" ? {} : { runId: runId.toLowerCase() }) };
      const limit = pageSize || defaultPage;
      const rows = await translated(() =>
        artifacts.list(filter, {
          limit: limit + 1,
          ...(pageToken === "" ? {} : { beforePosition: parsePosition(pageToken, scope) }),
        }),
      );
      const page = rows.slice(0, limit);
      const last = page.at(-1);
      return {
        artifacts: page.map(({ artifact }) => artifactMessage(artifact)),
        nextPageToken: rows.length > limit && last !== undefined ? createPageToken(last.position, scope) : "",
      };
    },
  };
}

/** @throws ConnectError NOT_FOUND for those of others, as for those that do not exist */
async function found(engine: Engine, { values }: HandlerContext, id: string): Promise<StoredArtifact> {
  const artifact = await translated(() => engine.artifacts.get(id));
  if (artifact === undefined || !sees(artifactReader(values.get(principalKey)), artifact.owner)) {
    throw unknownArtifact(id);
  }
  return artifact;
}

async function translated<Result>(ask: () => Promise<Result>): Promise<Result> {
  try {
    return await ask();
  } catch (error) {
    throw artifactConnectError(error);
  }
}

async function startOf(parts: AsyncIterator<UploadArtifactRequest>): Promise<UploadStart> {
  const first = await parts.next();
  const part = first.done === true ? undefined : first.value.part;
  if (part?.case !== "start") {
    throw createError(
      Code.InvalidArgument,
      "UPLOAD_PARTS",
      `an upload begins with a message that sets "start", and this one ${part?.case === undefined ? "has no messages" : `with one that sets "${part.case}"`}`,
    );
  }
  const { value } = part;
  if (value.offset > 0n && value.uploadId === "") {
    throw createError(
      Code.InvalidArgument,
      "UPLOAD_PARTS",
      "start.offset goes on with an upload, and upload_id does not say with which one",
    );
  }
  return value;
}

async function* chunksOf(
  parts: AsyncIterator<UploadArtifactRequest>,
  onDigest: (sha256: Uint8Array) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  let last = false;
  try {
    for (let next = await parts.next(); next.done !== true; next = await parts.next()) {
      const { part } = next.value;
      if (last || part.case === "start" || part.case === undefined) {
        throw createError(
          Code.InvalidArgument,
          "UPLOAD_PARTS",
          last ? 'nothing comes after "sha256" in an upload' : 'an upload has one "start", and it comes first',
        );
      }
      if (part.case === "sha256") {
        last = true;
        onDigest(part.value);
      } else if (part.value.length > 0) {
        yield part.value;
      }
    }
  } finally {
    parts.return?.()?.catch(() => undefined);
  }
}

function chunkOf(bytes: Uint8Array): DownloadArtifactResponse {
  return {
    $typeName: "retake.v1.DownloadArtifactResponse",
    part: { case: "chunk", value: bytes },
  };
}
