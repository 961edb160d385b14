import { access } from "node:fs/promises";
import { isLoopback } from "../transport/index.ts";
import { UsageError } from "./cli-error.ts";
import { defaultConfig } from "./config-flag.ts";

/** What a server without a configuration uses. */
const defaultDataDirectory = ".retake";

/**
 * The admin key in the data directory of a server on this machine, if it has one: never for a target elsewhere. What makes
 * that out is loaded only where there is something to read.
 *
 * @throws UsageError when the configuration that is named cannot be used
 */
export async function localAdminKey(target: string, config: string | undefined): Promise<string | undefined> {
  if (!isLoopback(target)) return undefined;
  const directory = await dataDirectoryOf(config);
  if (directory === undefined || !(await exists(directory))) return undefined;
  const { AdminKeyFile } = await import("../security/index.ts");
  try {
    return await new AdminKeyFile(directory).read();
  } catch {
    // Somebody else's, who keeps it from us: we are nobody in particular then.
    return undefined;
  }
}

async function dataDirectoryOf(config: string | undefined): Promise<string | undefined> {
  if (config === undefined && !(await exists(defaultConfig))) return defaultDataDirectory;
  const { ConfigError, loadConfig, resolveConfig } = await import("../config/index.ts");
  try {
    return resolveConfig(await loadConfig(config ?? defaultConfig)).dataDirectory;
  } catch (error) {
    // A file that merely lies about is no reason not to look at runs.
    if (config === undefined) return undefined;
    throw error instanceof ConfigError ? new UsageError(error.message, { cause: error }) : error;
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
