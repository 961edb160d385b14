import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { RetakeServer } from "../server/index.ts";
import { CliError, UsageError } from "./cli-error.ts";
import { ExitCode } from "./exit-code.ts";

type Register = (server: RetakeServer) => unknown;

/**
 * Lets modules implement workflows: each is loaded, and its default export or its export `register` called with the
 * server. A module is a file, or a package that is installed here. @throws CliError that names the module
 */
export async function registerHandlers(server: RetakeServer, modules: readonly string[]): Promise<void> {
  for (const name of modules) {
    const register = await load(name);
    try {
      await register(server);
    } catch (error) {
      throw new CliError(`--handlers: ${name}: ${stackOf(error)}`, ExitCode.refused, { cause: error });
    }
  }
}

async function load(name: string): Promise<Register> {
  let path: string;
  try {
    // Resolves like an import in a file of the working directory would: files, folders and packages.
    path = createRequire(resolve("retake.js")).resolve(/^[./]|\.[cm]?[jt]s$/.test(name) ? resolve(name) : name);
  } catch (error) {
    throw new UsageError(`--handlers: there is no module ${name} here`, { cause: error });
  }
  let loaded: { readonly default?: unknown; readonly register?: unknown };
  try {
    loaded = (await import(pathToFileURL(path).href)) as typeof loaded;
  } catch (error) {
    throw new CliError(`--handlers: ${name} cannot be loaded: ${stackOf(error)}`, ExitCode.refused, { cause: error });
  }
  const register = loaded.register ?? loaded.default;
  if (typeof register !== "function") {
    throw new UsageError(
      `--handlers: ${name} exports no function to call: export default function register(server) { server.implement(…) }`,
    );
  }
  return register as Register;
}

/** A handler's author needs the place. */
function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
