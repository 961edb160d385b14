import { access } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import { type ServerConfig, ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { loadConfig } from "../config/index.ts";
import { defaultConfig } from "./config-flag.ts";

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
