import { UsageError } from "./cli-error.ts";
import type { Positional } from "./command.ts";

/** The argument of commands about one run. */
export const runIdPositional: Positional = { name: "RUN_ID", description: "the run's id, as `retake run` printed it" };

/** @throws UsageError for what is no id of a run */
export function parseRunId(text: string): string {
  if (!/^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(text)) {
    throw new UsageError(
      `"${text}" is no run id; one looks like 01936b2c-8a4e-7f31-9d05-6c1e2b7a4f88. List them: retake runs list`,
    );
  }
  return text.toLowerCase();
}
