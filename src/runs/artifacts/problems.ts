import { ArtifactError, ArtifactQuotaError, type ArtifactWrite, type StoredArtifact } from "../ports/artifacts.ts";
import type { RunOwner } from "../ports/journal.ts";

const mostNamed = 5;

export function unknownArtifacts(ids: readonly string[]): ArtifactError {
  const shown = ids.slice(0, mostNamed).join(", ");
  const more = ids.length > mostNamed ? ` and ${ids.length - mostNamed} more` : "";
  const what = ids.length === 1 ? "there is no artifact" : "there are no artifacts";
  return new ArtifactError(
    "unknown",
    `${what} ${shown}${more}: it never was, or was removed because no run kept it; upload it again`,
  );
}

/** An upload goes on from a byte that the server has not come to. */
export function missingBytes(
  known: { readonly committed: number; readonly artifact?: StoredArtifact } | undefined,
  offset: number,
): ArtifactError {
  if (known?.artifact !== undefined) {
    return new ArtifactError("offset", "this upload is complete already: GetUpload tells what became of it");
  }
  return new ArtifactError(
    "offset",
    `this upload cannot go on from byte ${offset}: the server has ${known?.committed ?? 0}; go on from there (GetUpload tells)`,
  );
}

interface Begun {
  readonly name: string;
  readonly mediaType: string;
  readonly size?: number;
  readonly sha256?: Uint8Array;
}

/** What an upload says about itself now and did not when it began. */
export function uploadDiffers(begun: Begun, now: ArtifactWrite): ArtifactError | undefined {
  const field =
    begun.name !== now.name
      ? "name"
      : begun.mediaType !== now.mediaType
        ? "media type"
        : begun.size !== undefined && now.size !== undefined && begun.size !== now.size
          ? "size"
          : begun.sha256 !== undefined &&
              now.sha256 instanceof Uint8Array &&
              Buffer.compare(begun.sha256, now.sha256) !== 0
            ? "SHA-256"
            : undefined;
  return field === undefined
    ? undefined
    : new ArtifactError(
        "conflict",
        `this upload was begun with another ${field}: begin it anew, or take another upload id`,
      );
}

/** Whether an upload is known beforehand to bring what is there already. */
export function announced(now: ArtifactWrite, artifact: StoredArtifact): boolean {
  return (
    now.sha256 instanceof Uint8Array &&
    Buffer.compare(now.sha256, artifact.sha256) === 0 &&
    now.name === artifact.name &&
    now.mediaType === artifact.mediaType
  );
}

/** More than an owner may have stored; without one, than all of them together. */
export function overQuota(maxBytes: number, owner?: RunOwner): ArtifactQuotaError {
  const whole = Math.floor(maxBytes);
  return owner === undefined
    ? new ArtifactQuotaError(
        "artifacts",
        `all artifacts of the server may have ${whole} bytes, each at least 4096 (artifacts.max_total_bytes)`,
        "files that no run keeps are removed after a while",
      )
    : new ArtifactQuotaError(
        `principal:${owner.tenant}/${owner.subject}`,
        `the artifacts of one owner may have ${whole} bytes, each at least 4096 and unfinished uploads among them (artifacts.max_bytes_per_owner)`,
        "what none of your runs keeps is removed after a while",
      );
}
