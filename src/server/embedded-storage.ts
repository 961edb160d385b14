import type { Clock } from "../clock.ts";
import type { ResolvedConfig } from "../config/index.ts";
import { withFileArtifacts } from "../runs/artifact-files/index.ts";
import { openSqliteThread } from "../runs/sqlite/index.ts";
import type { Storage } from "./server.ts";

/** Everything in the data directory: runs and payloads in SQLite, artifacts in files. @throws JournalOpenError */
export async function openEmbeddedStorage(
  { dataDirectory: directory, artifacts: { maxBytes } }: Pick<ResolvedConfig, "dataDirectory" | "artifacts">,
  clock: Clock,
): Promise<Storage> {
  return withFileArtifacts(await openSqliteThread({ directory, clock }), { directory, clock, maxBytes });
}
