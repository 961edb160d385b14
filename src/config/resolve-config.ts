import type { ServerConfig } from "../../gen/retake/v1/config_pb.js";
import { configProblems } from "./check-config.ts";
import { ConfigError } from "./config-error.ts";
import { type ResolvedConfig, withDefaults } from "./settings.ts";

/**
 * Everything that a server needs to know, with every default filled in.
 *
 * @throws ConfigError when a value is out of range, or values make no sense together
 */
export function resolveConfig(config: ServerConfig): ResolvedConfig {
  const problems = configProblems(config);
  if (problems.length > 0) throw new ConfigError("configuration", problems);
  return withDefaults(config);
}
