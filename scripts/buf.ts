import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { parse } from "yaml";

/** The root of the repository. */
export const root = join(import.meta.dirname, "..");

/** Where derived imports, and everything else that is made and not kept, are put. */
export const buildDirectory = join(root, "build");

/** Folders of the `.proto` files that are written here: buf's modules without the derived imports. */
export async function ownModules(): Promise<string[]> {
  const { modules } = parse(await readFile(join(root, "buf.yaml"), "utf8")) as { modules: { path: string }[] };
  return modules.map(({ path }) => path).filter((path) => !path.startsWith("build/"));
}

/** Runs buf in the root of the repository. Answers false, with its output on stderr, when it finds something or fails. */
export async function buf(...args: readonly string[]): Promise<boolean> {
  try {
    await promisify(execFile)(join(root, "node_modules", ".bin", "buf"), args, { cwd: root });
    return true;
  } catch (error) {
    const { stdout = "", stderr = "", message } = error as Error & { stdout?: string; stderr?: string };
    console.error(stdout + stderr === "" ? message : `${stdout}${stderr}`.trimEnd());
    return false;
  }
}
