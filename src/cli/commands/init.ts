import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { CliError, UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { ExitCode } from "../exit-code.ts";
import { projectFiles } from "../init/project-files.ts";
import { writeLines } from "../io.ts";
import { writeFiles } from "../write-files.ts";

export const init: Command = {
  description: [
    "Makes a project of a directory: a contract, a handler, a client, a test and scripts, which run as they are. Files that",
    "are there are not overwritten: package.json and .gitignore get what they lack, README.md stays, and any other",
    "in the way is named before anything is written.",
  ].join(" "),
  local: true,
  positionals: [{ name: "DIR", description: "the directory, made if need be; . is this one" }],
  flags: {
    package: {
      value: "NAME",
      description: "The protobuf package, like acme.studio.v1. Default: named like the directory",
    },
    retake: { value: "SPEC", description: "What npm installs as retake. Default: this very version, or packed file" },
  },
  examples: [
    ["retake init studio", "Begin a project"],
    ["retake init . --package acme.studio.v1", "Make a project of this directory"],
  ],
  async run(given, io) {
    const directory = given.positional("DIR");
    await assertDirectory(directory);
    const { names, files } = await projectFiles(directory, {
      packageName: given.value("package"),
      retake: given.value("retake"),
    });
    const kept = await assertFree(directory, files);
    const written = await writeFiles(directory, new Map([...files].filter(([file]) => !kept.has(file))));
    if (given.has("json")) {
      for (const { file, change } of written) {
        writeLines(io.stdout, JSON.stringify({ file: join(directory, file), change }));
      }
      return ExitCode.ok;
    }
    const contract = `proto/${names.contract}`;
    const width = Math.max(contract.length, "test/handlers.test.ts".length);
    const facts: readonly (readonly [string, string])[] = [
      [contract, "the contract: edit it first"],
      ["handlers.ts", "what it does: edit it second"],
      ["client.ts", "calls it"],
      ["test/handlers.test.ts", "tests it"],
    ];
    writeLines(
      io.stdout,
      `A project is in ${directory === "." ? "this directory" : directory}:`,
      ...facts.map(([file, does]) => `  ${file.padEnd(width)}  ${does}`),
      "",
      "Next:",
      ...(directory === "." ? [] : [`  cd ${directory}`]),
      "  npm install",
      "  npm test",
      "  npm run dev",
    );
    return ExitCode.ok;
  },
};

async function assertDirectory(directory: string): Promise<void> {
  const found = await stat(directory).catch(() => undefined);
  if (found !== undefined && !found.isDirectory()) {
    throw new UsageError(`${directory} is a file: name a directory`);
  }
}

/** What may stay as it is: nothing depends on what it says. */
const mayStay = new Set(["README.md"]);

/** What is added to, instead of written. */
const added = new Set(["package.json", ".gitignore"]);

/** @returns the files that stay @throws CliError naming those that would be overwritten */
async function assertFree(directory: string, files: ReadonlyMap<string, string>): Promise<ReadonlySet<string>> {
  const kept = new Set<string>();
  const taken: string[] = [];
  for (const [file, content] of files) {
    if (added.has(file)) continue;
    const present = await readFile(join(directory, file), "utf8").catch((error: NodeJS.ErrnoException) => {
      // Something else in the place of a file or of its folder is in the way as well.
      return error.code === "ENOENT" ? undefined : "";
    });
    if (present === undefined || present === content) continue;
    if (mayStay.has(file)) kept.add(file);
    else taken.push(file);
  }
  if (taken.length === 0) return kept;
  throw new CliError(
    [
      `${directory} has files of its own, and nothing was written: ${taken.join(", ")}`,
      "Choose another directory: retake init DIR",
      ...(taken.every((file) => file.startsWith("imports/"))
        ? [`If only imports/ is to be brought up to date: retake protos ${join(directory, "imports")}`]
        : []),
    ].join("\n"),
    ExitCode.usage,
  );
}
