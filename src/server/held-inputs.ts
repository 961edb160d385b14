import { statfs } from "node:fs/promises";
import type { ResolvedConfig } from "../config/index.ts";
import { HeldInputs } from "../runs/index.ts";

/** What each owner may leave to the server, as it is configured. */
export function heldInputs({ runs, dataDirectory }: ResolvedConfig, inMemory: boolean): HeldInputs {
  let maxBytes = runs.maxUnfinishedBytesPerOwner;
  if (maxBytes === undefined && !inMemory) {
    statfs(dataDirectory).then(
      ({ blocks, bsize }) => {
        maxBytes = (blocks * bsize) / 10;
      },
      // A disk that does not even tell its size takes no runs.
      () => undefined,
    );
  }
  return new HeldInputs({ maxRuns: runs.maxUnfinishedPerOwner, maxBytes: () => maxBytes });
}
