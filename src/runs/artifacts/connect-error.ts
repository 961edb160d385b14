import { create } from "@bufbuild/protobuf";
import { Code, type ConnectError } from "@connectrpc/connect";
import { QuotaFailureSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { type Artifact, ArtifactSchema } from "../../../gen/retake/v1/artifact_pb.js";
import { createError } from "../failure.ts";
import { ArtifactError, type ArtifactProblem, ArtifactQuotaError, type StoredArtifact } from "../ports/artifacts.ts";
import { timestampFromMs } from "../time.ts";
import { unknownArtifacts } from "./problems.ts";

const codes: Readonly<Record<ArtifactProblem, readonly [code: Code, reason: string, retryDelayMs?: number]>> = {
  unknown: [Code.NotFound, "ARTIFACT_NOT_FOUND"],
  "too-large": [Code.ResourceExhausted, "ARTIFACT_TOO_LARGE"],
  quota: [Code.ResourceExhausted, "ARTIFACT_QUOTA"],
  size: [Code.InvalidArgument, "SIZE_MISMATCH"],
  digest: [Code.InvalidArgument, "DIGEST_MISMATCH"],
  content: [Code.InvalidArgument, "CONTENT_MISMATCH"],
  offset: [Code.OutOfRange, "UPLOAD_OFFSET"],
  conflict: [Code.FailedPrecondition, "UPLOAD_CONFLICT"],
  "taken-over": [Code.Aborted, "UPLOAD_TAKEN_OVER"],
  full: [Code.Unavailable, "DISK_FULL", 10_000],
  unavailable: [Code.Unavailable, "ARTIFACT_STORAGE", 1_000],
  damaged: [Code.DataLoss, "ARTIFACT_DAMAGED"],
};

/** What callers and handlers are told; anything but an ArtifactError comes back as it is. */
export function artifactConnectError(error: unknown): unknown {
  if (!(error instanceof ArtifactError)) {
    return error;
  }
  const [code, reason, retryDelayMs] = codes[error.problem];
  const told = createError(code, reason, error.message, {
    cause: error,
    ...(retryDelayMs === undefined ? {} : { retryDelayMs }),
  });
  if (error instanceof ArtifactQuotaError) {
    const { subject, description } = error;
    told.details.push({ desc: QuotaFailureSchema, value: { violations: [{ subject, description }] } });
  }
  return told;
}

export function unknownArtifact(id: string): ConnectError {
  return artifactConnectError(unknownArtifacts([id])) as ConnectError;
}

export function artifactMessage(artifact: StoredArtifact): Artifact {
  const { id, sha256, size, mediaType, name, owner, createTimeMs } = artifact;
  return create(ArtifactSchema, {
    artifactId: id,
    sha256: Uint8Array.from(sha256),
    mediaType,
    size: BigInt(size),
    name,
    createTime: timestampFromMs(createTimeMs),
    owner: { tenant: owner.tenant, subject: owner.subject },
  });
}
