import { ConfigError, resolveConfig } from "../config/index.ts";
import type { Arguments } from "./arguments.ts";
import { UsageError } from "./cli-error.ts";
import type { Flags } from "./command.ts";
import { readConfig } from "./config-file.ts";
import { configFlag } from "./config-flag.ts";

/** For every command that works on a data directory itself. */
export const dataDirectoryFlags: Flags = {
  "data-directory": {
    short: "d",
    value: "DIR",
    description: "The data directory. Default: that of the configuration",
  },
  config: configFlag,
};

/** The data directory that a command line means. @throws UsageError when the configuration cannot be used */
export async function dataDirectory(given: Arguments): Promise<string> {
  const directory = given.value("data-directory");
  if (directory === "") throw new UsageError("--data-directory: the directory's name is missing");
  if (directory !== undefined) return directory;
  try {
    return resolveConfig(await readConfig(given.value("config"))).dataDirectory;
  } catch (error) {
    throw error instanceof ConfigError ? new UsageError(error.message, { cause: error }) : error;
  }
}
