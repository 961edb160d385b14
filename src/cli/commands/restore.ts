import { toJsonString } from "@bufbuild/protobuf";
import { BackupManifestSchema } from "../../../gen/retake/v1/storage_pb.js";
import { restore as restoreBackup } from "../../runs/sqlite/index.ts";
import type { Command } from "../command.ts";
import { dataDirectory, dataDirectoryFlags } from "../data-directory.ts";
import { PartLine } from "../display/part-line.ts";
import { countsText } from "../display/storage-text.ts";
import { showTime, timestampMs } from "../display/times.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { onStorage } from "../storage-problem.ts";

export const restore: Command = {
  description: [
    "Makes a data directory of a backup. The directory must be empty, or not exist. Nothing of the backup becomes visible",
    "before all of it has been unpacked and verified; a restore that is interrupted is repeated. A server that is started",
    "there goes on with the runs that were open when the backup was made, also with those that have ended since.",
  ].join(" "),
  local: true,
  positionals: [{ name: "FILE", description: "What `retake backup` has made" }],
  flags: dataDirectoryFlags,
  examples: [["retake restore /backups/retake-2026-11-27.tar -d /var/lib/retake", "Bring a data directory back"]],
  async run(given, io) {
    const directory = await dataDirectory(given);
    const file = given.positional("FILE");
    const manifest = await onStorage(io.signal, async () => {
      using line = new PartLine(io);
      return await restoreBackup({
        directory,
        file,
        clock: io.clock,
        signal: io.signal,
        onProgress: (done, total) => line.show("unpacked", done, total, "bytes"),
      });
    });
    if (given.has("json")) {
      writeLines(io.stdout, toJsonString(BackupManifestSchema, manifest));
      return ExitCode.ok;
    }
    const { createTime, writtenBy } = manifest;
    const when = createTime === undefined ? "" : `, as of ${showTime(timestampMs(createTime))}`;
    writeLines(io.stdout, `${directory}: ${countsText(manifest.counts)}${when} (${writtenBy})`);
    return ExitCode.ok;
  },
};
