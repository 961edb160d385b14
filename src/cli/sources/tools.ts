import { execFile } from "node:child_process";
import { access } from "node:fs/promises";
import { createRequire } from "node:module";
import { delimiter, dirname, join, resolve } from "node:path";
import { packageRoot } from "../../own-files.ts";

/** A program that a project has installed, as the words that start it. */
export type Tool = readonly [program: string, ...args: string[]];

/**
 * A program of a package that a project, or retake itself, has installed; else the one on the PATH. Undefined when there
 * is none.
 */
export async function findTool(
  { name, packageName }: { readonly name: string; readonly packageName: string },
  directory: string,
  path: string,
): Promise<Tool | undefined> {
  for (const origin of [resolve(directory, "package.json"), packageRoot]) {
    try {
      const manifest = createRequire(origin).resolve(`${packageName}/package.json`);
      const { bin } = createRequire(origin)(manifest) as { readonly bin?: string | Readonly<Record<string, string>> };
      const script = typeof bin === "string" ? bin : bin?.[name];
      if (script !== undefined) return [process.execPath, join(dirname(manifest), script)];
    } catch {
      // Not installed here.
    }
  }
  for (const folder of path.split(delimiter)) {
    const program = join(folder, name);
    if (folder !== "" && (await exists(program))) return [program];
  }
  return undefined;
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** How a program ended. */
export interface ToolRun {
  /** Undefined when it was killed, or could not be started. */
  readonly code: number | undefined;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Descriptor sets with all their comments are the longest that anything here writes. */
const longestOutput = 256 * 1024 * 1024;

/** Runs a program to its end. */
export function runTool(
  [program, ...before]: Tool,
  args: readonly string[],
  options: {
    readonly cwd: string;
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly signal: AbortSignal;
  },
): Promise<ToolRun> {
  return new Promise((done) => {
    const { cwd, env, signal } = options;
    const settings = { cwd, env, signal, maxBuffer: longestOutput, encoding: "buffer" as const };
    execFile(program, [...before, ...args], settings, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : undefined;
      const told = stderr.toString();
      done({ code, stdout, stderr: told === "" && code !== 0 ? (error?.message ?? "") : told });
    });
  });
}
