import { statSync } from "node:fs";
import module from "node:module";
import { isAbsolute, join } from "node:path";
import type { CliIo } from "./io.ts";

/**
 * Keeps the compiled form of all modules for the next start, which is then shorter by a tenth. Node's own variables go
 * first: NODE_COMPILE_CACHE names another folder, NODE_DISABLE_COMPILE_CACHE turns it off. Where there is no folder that
 * can be written, nothing is kept.
 */
export function keepCompiledCode(env: CliIo["env"]): void {
  const directory = compileCacheDirectory(env);
  // Node before 22 has no such thing, and some commands do with it.
  if (directory !== undefined) module.enableCompileCache?.(directory);
}

/** Writes down what is kept now rather than at the end of the process, which may be killed. Blocks while it writes. */
export function writeCompiledCode(): void {
  module.flushCompileCache?.();
}

/** Where that is, if there is a place that belongs to this user: whoever can write there decides what is executed. */
export function compileCacheDirectory(env: CliIo["env"], userId = process.getuid?.()): string | undefined {
  if (env["NODE_COMPILE_CACHE"] !== undefined) return undefined;
  const places = [
    // systemd names the folders of CacheDirectory=, apart by colons.
    { root: env["CACHE_DIRECTORY"]?.split(":")[0] ?? "", folder: "compiled" },
    { root: env["XDG_CACHE_HOME"] ?? "", folder: "retake/compiled" },
    { root: env["HOME"] ?? "", folder: ".cache/retake/compiled" },
  ];
  const place = places.find(({ root }) => isAbsolute(root));
  return place !== undefined && belongsTo(userId, place.root) ? join(place.root, place.folder) : undefined;
}

/** Not so for root with the HOME of somebody else, as some make it with sudo. */
function belongsTo(userId: number | undefined, directory: string): boolean {
  try {
    return userId === undefined || statSync(directory).uid === userId;
  } catch {
    return false;
  }
}
