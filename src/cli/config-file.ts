import { access } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import { type ServerConfig, ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { loadConfig } from "../config/index.ts";
import type { Flag } from "./command.ts";

const defaultConfig = "retake.yaml";

/** For commands that read a configuration. */
export const configFlag: Flag = {
  short: "c",
  value: "FILE",
  description: `The configuration. Default: ${defaultConfig}, where there is one`,
};

/** The configuration in a file; of the default one, if it exists. @throws ConfigError */
export async function readConfig(file: string | undefined): Promise<ServerConfig> {
  if (file === undefined) {
    const exists = await access(defaultConfig).then(
      () => true,
      () => false,
    );
    if (!exists) return create(ServerConfigSchema);
  }
  return await loadConfig(file ?? defaultConfig);
}
