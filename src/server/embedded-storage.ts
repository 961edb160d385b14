import type { Clock } from "../clock.ts";
import type { ResolvedConfig } from "../config/index.ts";
import { withFileArtifacts } from "../runs/artifact-files/index.ts";
import { startSqliteThread } from "../runs/sqlite/thread/index.ts";
import type { Storage } from "./server.ts";

/** A storage that can be opened. */
export interface StorageOpener {
  /** @throws JournalOpenError */
  open(config: Pick<ResolvedConfig, "dataDirectory" | "artifacts">, clock: Clock): Promise<Storage>;
  /** Instead of opening it. */
  end(): Promise<void>;
}

/**
 * Everything in the data directory: runs and payloads in SQLite, artifacts in files. Its thread starts now, which takes
 * as long as reading the contracts; the directory is touched when it is opened.
 */
export function startEmbeddedStorage(): StorageOpener {
  const thread = startSqliteThread();
  return {
    async open({ dataDirectory: directory, artifacts }, clock) {
      return withFileArtifacts(await thread.open({ directory, clock }), { directory, clock, ...artifacts });
    },
    end: () => thread.end(),
  };
}
