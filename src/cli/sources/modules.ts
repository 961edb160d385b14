import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { CliError, UsageError } from "../cli-error.ts";
import { ExitCode } from "../exit-code.ts";
import { exists } from "./tools.ts";

/** The folders that import paths count from, as buf.yaml lists them; undefined when there is no buf.yaml. */
export async function protoModules(directory: string): Promise<readonly string[] | undefined> {
  const file = join(directory, "buf.yaml");
  if (!(await exists(file))) return undefined;
  let config: unknown;
  try {
    config = parse(await readFile(file, "utf8"));
  } catch (cause) {
    throw new UsageError(`${file} is no YAML: ${(cause as Error).message}`, { cause });
  }
  const modules = (config as { readonly modules?: readonly { readonly path?: unknown }[] } | null)?.modules;
  if (modules === undefined) return ["."];
  if (!Array.isArray(modules)) {
    throw new CliError(`${file}: modules must be a list of paths:\n${bufYaml.join("\n")}`, ExitCode.usage);
  }
  return modules.map(({ path }) => (typeof path === "string" ? path : "."));
}

/** What retake makes of a project. */
export const bufYaml = ["version: v2", "modules:", "  - path: proto", "  - path: imports"];

/** The path of a file from where the user stands, by its import path. */
export async function sourceFile(directory: string, modules: readonly string[], name: string): Promise<string> {
  for (const module of modules) {
    const path = join(directory, module, name);
    if (await exists(path)) return path;
  }
  return name;
}
