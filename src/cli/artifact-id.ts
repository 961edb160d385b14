import { UsageError } from "./cli-error.ts";
import type { Positional } from "./command.ts";

export const artifactIdPositional: Positional = {
  name: "ARTIFACT_ID",
  description: "the artifact's id, as `retake artifacts put` printed it",
};

/** @throws UsageError for what is no id of an artifact */
export function parseArtifactId(text: string): string {
  if (!/^[0-9a-f]{32}$/i.test(text)) {
    throw new UsageError(
      `"${text}" is no artifact id; one looks like 4f2a9c0e7b1d4a6f8e3c5d2b1a0f9e8d. List them: retake artifacts list`,
    );
  }
  return text.toLowerCase();
}
