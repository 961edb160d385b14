import type { StorageCounts } from "../../../gen/retake/v1/storage_pb.js";
import { showBytes, showCount } from "./sizes.ts";

/** What a data directory or a backup holds, in a line. */
export function countsText(counts: StorageCounts | undefined): string {
  const { runs = 0n, openRuns = 0n, events = 0n, payloads = 0n, files = 0n } = counts ?? {};
  const { fileBytes = 0n, databaseBytes = 0n, artifacts = 0n, artifactBytes = 0n } = counts ?? {};
  const kept = artifacts === 0n ? "" : `; ${showCount(artifacts, "artifact")}`;
  const open = openRuns === 0n ? "" : `, of which ${showCount(openRuns, "is open", "are open")}`;
  const inFiles = files === 0n ? "" : `, ${showCount(files, "large one in a file", "large ones in files")}`;
  return `${showCount(runs, "run")} with ${showCount(events, "event")}${open}; ${showCount(payloads, "payload")}${inFiles}${kept}; ${showBytes(Number(databaseBytes + fileBytes + artifactBytes))}`;
}
