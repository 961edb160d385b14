import { ArtifactError } from "../ports/artifacts.ts";

/** SQLite's primary code for a full disk. */
const sqliteFull = 13;

/** What the disk or the index refuses, in words for whoever waits for it. */
export function storageProblem(error: unknown, directory: string): ArtifactError {
  if (error instanceof ArtifactError) {
    return error;
  }
  const { code, errcode } = error as { readonly code?: unknown; readonly errcode?: unknown };
  if (code === "ENOSPC" || code === "EDQUOT" || (typeof errcode === "number" && (errcode & 0xff) === sqliteFull)) {
    return new ArtifactError(
      "full",
      `the disk with ${directory} is full: nothing can be stored until there is space again`,
      { cause: error },
    );
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new ArtifactError("unavailable", `artifacts in ${directory} cannot be used at the moment: ${reason}`, {
    cause: error,
  });
}

export function closedProblem(): ArtifactError {
  return new ArtifactError("unavailable", "the server is stopping, and takes and gives no more artifacts");
}
