import { toJsonString } from "@bufbuild/protobuf";
import { type StorageProblem, type StorageReport, StorageReportSchema } from "../../../gen/retake/v1/storage_pb.js";
import { checkStorage } from "../../runs/sqlite/index.ts";
import type { Command } from "../command.ts";
import { dataDirectory, dataDirectoryFlags } from "../data-directory.ts";
import { PartLine } from "../display/part-line.ts";
import { plainText } from "../display/plain-text.ts";
import { showBytes, showCount } from "../display/sizes.ts";
import { countsText } from "../display/storage-text.ts";
import { ExitCode } from "../exit-code.ts";
import { type CliIo, writeLines } from "../io.ts";
import { onStorage } from "../storage-problem.ts";

export const check: Command = {
  description: [
    "Looks at everything in a data directory, and changes nothing: the database itself, every event of every run and what",
    "it makes of the run, the index, every payload and every artifact. The server must not be running; to check one that",
    "does, back it up and check what `retake restore` makes of that.",
  ].join(" "),
  local: true,
  positionals: [],
  flags: dataDirectoryFlags,
  examples: [["retake check -d /var/lib/retake", "See whether a journal is sound"]],
  async run(given, io) {
    const directory = await dataDirectory(given);
    const report = await onStorage(io.signal, async () => {
      using line = new PartLine(io);
      return await checkStorage({
        directory,
        clock: io.clock,
        signal: io.signal,
        onProgress: (part, done) => line.show(part, done),
      });
    });
    if (given.has("json")) {
      writeLines(io.stdout, toJsonString(StorageReportSchema, report));
    } else {
      show(report, io);
    }
    return report.problemCount === 0n ? ExitCode.ok : ExitCode.damaged;
  },
};

function show(report: StorageReport, io: CliIo): void {
  const { directory, counts, journalFormat, writtenBy, freeBytes } = report;
  writeLines(
    io.stdout,
    `${directory}: ${countsText(counts)}, ${showBytes(Number(freeBytes))} of it free`,
    `Journal format ${journalFormat}, written by ${plainText(writtenBy)}`,
  );
  list(showCount(report.problemCount, "problem"), report.problems, report.problemCount, io);
  list(showCount(report.leftoverCount, "leftover"), report.leftovers, report.leftoverCount, io);
  if (report.problemCount > 0n) {
    writeLines(
      io.stderr,
      "The journal is damaged: keep a copy of the directory, and restore a backup into another one.",
    );
  } else {
    writeLines(io.stdout, "Everything is sound.");
    if (report.leftoverCount > 0n) writeLines(io.stderr, "A server removes leftovers when it starts, or soon after.");
  }
}

function list(title: string, told: readonly StorageProblem[], count: bigint, io: CliIo): void {
  if (count === 0n) return;
  const more = Number(count) - told.length;
  writeLines(io.stdout, "", `${title}:`, ...told.map(({ message }) => `  ${plainText(message)}`));
  if (more > 0) writeLines(io.stdout, `  and ${more} more`);
}
