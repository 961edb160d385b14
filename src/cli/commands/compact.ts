import { compact as compactStorage } from "../../runs/sqlite/index.ts";
import type { Command } from "../command.ts";
import { dataDirectory, dataDirectoryFlags } from "../data-directory.ts";
import { showBytes } from "../display/sizes.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { onStorage } from "../storage-problem.ts";

export const compact: Command = {
  description: [
    "Rewrites the journal of a server that does not run, without what is free in it. It needs twice the journal's size in the",
    "data directory and about a second for 100 MiB. A server gives free space back by itself, unless its journal was made by",
    "an older version and was already large: once it has been rewritten, the server does so there too.",
  ].join(" "),
  local: true,
  positionals: [],
  flags: dataDirectoryFlags,
  examples: [["retake compact -d /var/lib/retake", "Make a journal as small as what is in it"]],
  async run(given, io) {
    const directory = await dataDirectory(given);
    const { bytesBefore, bytesAfter } = await onStorage(io.signal, async () => compactStorage(directory, io.clock));
    const line = given.has("json")
      ? JSON.stringify({ bytesBefore, bytesAfter })
      : `${directory}: ${showBytes(bytesBefore)} before, ${showBytes(bytesAfter)} now`;
    writeLines(io.stdout, line);
    return ExitCode.ok;
  },
};
