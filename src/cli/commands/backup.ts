import { toJsonString } from "@bufbuild/protobuf";
import { BackupManifestSchema } from "../../../gen/retake/v1/storage_pb.js";
import { backUp } from "../../runs/sqlite/index.ts";
import type { Command } from "../command.ts";
import { dataDirectory, dataDirectoryFlags } from "../data-directory.ts";
import { PartLine } from "../display/part-line.ts";
import { showCount } from "../display/sizes.ts";
import { countsText } from "../display/storage-text.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { onStorage } from "../storage-problem.ts";

export const backup: Command = {
  description: [
    "Copies a data directory into one file, whether its server is running or not: the journal as it is at one moment, with",
    "everything that it refers to, and a checksum. It works beside the server, on its machine and with the rights of its",
    "user, and needs twice the room of the journal where FILE is. FILE can be read by this user alone: it holds all inputs",
    "and results. What was accepted later is not in it.",
  ].join(" "),
  local: true,
  positionals: [{ name: "FILE", description: "The backup, a tar archive; must not exist yet" }],
  flags: dataDirectoryFlags,
  examples: [
    ["retake backup /backups/retake-$(date +%F).tar -d /var/lib/retake", "Back up a server that is running"],
    ["retake backup before-upgrade.tar --config /etc/retake.yaml", "Back up what a configuration names"],
  ],
  async run(given, io) {
    const directory = await dataDirectory(given);
    const file = given.positional("FILE");
    const manifest = await onStorage(io.signal, async () => {
      using line = new PartLine(io);
      return await backUp({
        directory,
        file,
        clock: io.clock,
        signal: io.signal,
        onProgress: (part, done, total) => line.show(part === "database" ? "pages" : "payload files", done, total),
      });
    });
    if (given.has("json")) {
      writeLines(io.stdout, toJsonString(BackupManifestSchema, manifest));
    } else {
      writeLines(io.stdout, `${file}: ${countsText(manifest.counts)}`);
    }
    if (manifest.missingFiles === 0n) return ExitCode.ok;
    writeLines(
      io.stderr,
      `${showCount(manifest.missingFiles, "payload file is", "payload files are")} missing in ${directory}, and so in the backup.`,
      "Stop the server, and see which runs they belong to: retake check",
    );
    return ExitCode.damaged;
  },
};
