import { access } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import { type ServerConfig, ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { ConfigError, loadConfig, resolveConfig } from "../config/index.ts";
import type { Arguments } from "./arguments.ts";
import { UsageError } from "./cli-error.ts";
import type { Flags } from "./command.ts";

export const defaultConfig = "retake.yaml";

/** For every command that works on a data directory itself. */
export const dataDirectoryFlags: Flags = {
  "data-directory": {
    short: "d",
    value: "DIR",
    description: "The data directory. Default: that of the configuration",
  },
  config: {
    short: "c",
    value: "FILE",
    description: `The server's configuration. Default: ${defaultConfig}, where there is one`,
  },
};

/** The data directory that a command line means. @throws UsageError when the configuration cannot be used */
export async function dataDirectory(given: Arguments): Promise<string> {
  const directory = given.value("data-directory");
  if (directory === "") throw new UsageError("--data-directory: the directory's name is missing");
  return directory ?? resolveConfig(await readConfig(given.value("config"))).dataDirectory;
}

/** A configuration file; without a name the usual one, where there is one. @throws UsageError */
export async function readConfig(file: string | undefined): Promise<ServerConfig> {
  if (file === undefined) {
    const exists = await access(defaultConfig).then(
      () => true,
      () => false,
    );
    if (!exists) return create(ServerConfigSchema);
  }
  try {
    return await loadConfig(file ?? defaultConfig);
  } catch (error) {
    throw error instanceof ConfigError ? new UsageError(error.message, { cause: error }) : error;
  }
}
