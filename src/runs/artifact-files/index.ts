import { fdatasync } from "node:fs";
import { promisify } from "node:util";
import type { Artifacts } from "../ports/artifacts.ts";
import { FileArtifacts, type FileArtifactsOptions } from "./file-artifacts.ts";

type OpenOptions = Omit<FileArtifactsOptions, "sync"> & Partial<Pick<FileArtifactsOptions, "sync">>;

/** Artifacts in a data directory that this process has locked. */
export function openFileArtifacts(options: OpenOptions): Artifacts {
  return new FileArtifacts({ sync: promisify(fdatasync), ...options });
}

/** Artifacts beside a storage whose directory they share: closed before it, because it holds the directory's lock. */
export function withFileArtifacts<Storage extends { close(): Promise<void> }>(
  storage: Storage,
  options: OpenOptions,
): Storage & { readonly artifacts: Artifacts } {
  const artifacts = openFileArtifacts(options);
  return {
    ...storage,
    artifacts,
    close: async () => {
      await artifacts.close();
      await storage.close();
    },
  };
}
