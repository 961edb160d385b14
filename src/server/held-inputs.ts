import { statfs } from "node:fs/promises";
import type { ResolvedConfig } from "../config/index.ts";
import { HeldInputs, type Logger } from "../runs/index.ts";

/** What each owner may leave to the server, as it is configured. */
export function heldInputs(
  { runs, dataDirectory }: Pick<ResolvedConfig, "runs" | "dataDirectory">,
  inMemory: boolean,
  log: Logger,
): HeldInputs {
  let maxBytes = runs.maxUnfinishedBytesPerOwner;
  if (maxBytes === undefined && !inMemory) {
    sizeOf(dataDirectory).then(
      (bytes) => {
        maxBytes = bytes / 10;
      },
      // It works nonetheless, and a limit that is made up could refuse what there is room for.
      (err: unknown) =>
        log.warn(
          { err, path: dataDirectory },
          "the size of the file system that has the data directory cannot be told: how many bytes of inputs one owner may " +
            "leave is not limited until runs.max_unfinished_bytes_per_owner is set",
        ),
    );
  }
  return new HeldInputs({ maxRuns: runs.maxUnfinishedPerOwner, maxBytes: () => maxBytes });
}

async function sizeOf(directory: string): Promise<number> {
  const { blocks, bsize } = await statfs(directory);
  // Some that are mounted over a network say so of themselves.
  if (blocks * bsize === 0) throw new Error(`the file system of ${directory} says that it has no blocks`);
  return blocks * bsize;
}
