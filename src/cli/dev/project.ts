import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { type ServerConfig, ServerConfigSchema } from "../../../gen/retake/v1/config_pb.js";
import { ConfigError, loadConfig } from "../../config/index.ts";
import { UsageError } from "../cli-error.ts";
import { display } from "../sources/compile.ts";
import type { Finding } from "../sources/finding.ts";
import { protoModules } from "../sources/modules.ts";
import { exists } from "../sources/tools.ts";

/** What `retake dev` serves. */
export interface Project {
  readonly directory: string;
  /** The module whose `register` implements the workflows. */
  readonly handlers: string;
  /** The folders that import paths count from, within the directory. */
  readonly modules: readonly string[];
  readonly configFile: string;
}

const handlerNames = ["handlers.ts", "handlers.js", "handlers.mts", "handlers.mjs"];

/** @throws UsageError that says how to make a project */
export async function findProject(directory: string, handlers: string | undefined): Promise<Project> {
  const modules = await protoModules(directory);
  if (modules === undefined) {
    throw new UsageError(
      `${display(directory) === "." ? "this directory" : display(directory)} is no project: it has no buf.yaml\nMake one, here or elsewhere: retake init DIR`,
    );
  }
  return {
    directory,
    handlers: await findHandlers(directory, handlers),
    modules,
    configFile: join(directory, "retake.yaml"),
  };
}

async function findHandlers(directory: string, given: string | undefined): Promise<string> {
  if (given !== undefined) {
    // Named as from where the user stands.
    if (await exists(given)) return given;
    throw new UsageError(`--handlers: there is no ${given} here`);
  }
  for (const name of handlerNames) if (await exists(join(directory, name))) return join(directory, name);
  return join(directory, handlerNames[0] ?? "");
}

/** The project's configuration; the defaults without one. What is wrong with it comes as findings. */
export async function readProjectConfig({
  configFile,
}: Pick<Project, "configFile">): Promise<ServerConfig | readonly Finding[]> {
  if (!(await exists(configFile))) return create(ServerConfigSchema);
  try {
    return await loadConfig(configFile);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ field, message, position }) => ({
      severity: "error",
      rule: "config",
      file: display(configFile),
      line: position?.line ?? 0,
      column: position?.column ?? 0,
      message: field === "" ? message : `${field}: ${message}`,
      fixes: [],
    }));
  }
}
