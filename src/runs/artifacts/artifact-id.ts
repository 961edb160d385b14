import { hash } from "node:crypto";
import type { RunOwner } from "../ports/journal.ts";
import { sha256 } from "../sha256.ts";

/**
 * An artifact's id derives from what it is, so that a retaken attempt, or an upload whose answer was lost, finds it again.
 * 128 bits of a SHA-256: nobody finds another artifact with the same one.
 */
export function artifactId(owner: RunOwner, contentSha256: Uint8Array, mediaType: string, name: string): string {
  return sha256(JSON.stringify([owner.tenant, owner.subject, mediaType, name]), contentSha256)
    .toString("hex")
    .slice(0, 32);
}

/** Names an upload on the whole server, fit for a file. */
export function uploadKey(owner: RunOwner, uploadId: string): string {
  return hash("sha256", JSON.stringify([owner.tenant, owner.subject, uploadId]), "hex");
}
