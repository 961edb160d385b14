import { readFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { packageRoot as ownRoot } from "../../own-files.ts";
import { exists } from "../sources/tools.ts";

/** The folder of this package. */
export const packageRoot = fileURLToPath(ownRoot).replace(/[\\/]$/, "");

export interface OwnManifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

export async function readOwnManifest(): Promise<OwnManifest> {
  return JSON.parse(await readFile(join(packageRoot, "package.json"), "utf8")) as OwnManifest;
}

/**
 * What a project in a directory depends on to get the same retake: the version of a registry, the packed file that it was
 * installed from, or the folder that it runs in.
 */
export async function ownSpec(directory: string, version: string, root: string = packageRoot): Promise<string> {
  const modules = dirname(root);
  if (basename(modules) !== "node_modules") return fileSpec(directory, root);
  const packed = await packedFile(modules, basename(root));
  return packed === undefined ? `^${version}` : fileSpec(directory, packed);
}

/** As npm remembers where it got a package from. */
async function packedFile(modules: string, name: string): Promise<string | undefined> {
  try {
    const lock = JSON.parse(await readFile(join(modules, ".package-lock.json"), "utf8")) as {
      readonly packages?: Readonly<Record<string, { readonly resolved?: string }>>;
    };
    const resolved = lock.packages?.[`node_modules/${name}`]?.resolved;
    if (resolved?.startsWith("file:") !== true) return undefined;
    const file = resolve(dirname(modules), decodeURI(resolved.slice("file:".length)));
    return (await exists(file)) ? file : undefined;
  } catch {
    // Another package manager, which remembers it in its own way.
    return undefined;
  }
}

function fileSpec(directory: string, target: string): string {
  const path = relative(resolve(directory), target).replaceAll("\\", "/");
  return `file:${path === "" ? "." : path}`;
}
