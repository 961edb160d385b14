import { readdir, readFile } from "node:fs/promises";
import { basename, join, relative, resolve } from "node:path";
import { contractImports } from "../contract-imports.ts";
import { projectManifest } from "./manifest.ts";
import { type ProjectNames, projectNames } from "./names.ts";
import { ownSpec, packageRoot, readOwnManifest } from "./own-package.ts";

export interface NewProject {
  readonly names: ProjectNames;
  /** The content of each file, by its path. */
  readonly files: ReadonlyMap<string, string>;
}

export interface NewProjectOptions {
  /** The protobuf package. Default: named like the directory. */
  readonly packageName?: string | undefined;
  /** What npm installs as retake. Default: the same as this one. */
  readonly retake?: string | undefined;
}

/** What makes a project of a directory: the template under names of its own, and what belongs to this version. */
export async function projectFiles(directory: string, options: NewProjectOptions): Promise<NewProject> {
  const names = projectNames(basename(resolve(directory)), options.packageName);
  const own = await readOwnManifest();
  const retake = options.retake ?? (await ownSpec(directory, own.version));
  const present = await presentFile(join(directory, "package.json"));
  const files = new Map([["package.json", projectManifest(names.npmName, retake, own, present)]]);
  for (const [name, source] of await template()) files.set(renamed(name, names), renamed(source, names));
  const ignored = await presentFile(join(directory, ".gitignore"));
  if (ignored !== undefined) files.set(".gitignore", withLines(ignored, files.get(".gitignore") ?? ""));
  for (const [name, source] of await contractImports()) files.set(`imports/${name}`, source);
  return { names, files };
}

async function template(): Promise<ReadonlyMap<string, string>> {
  const root = join(packageRoot, "template");
  const sources = new Map<string, string>();
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const name = relative(root, path).replaceAll("\\", "/");
    // npm leaves a .gitignore out of what it packs.
    sources.set(name === "gitignore" ? ".gitignore" : name, await readFile(path, "utf8"));
  }
  return sources;
}

/** The template is a project named studio. */
function renamed(text: string, { npmName, packageName, serviceName, contract }: ProjectNames): string {
  const replacements: Readonly<Record<string, string>> = {
    "studio/v1/studio_service": contract.replace(/\.proto$/, ""),
    "studio.v1": packageName,
    StudioService: serviceName,
    "# studio": `# ${npmName}`,
  };
  return text.replace(
    /studio\/v1\/studio_service|studio\.v1|StudioService|# studio/g,
    (found) => replacements[found] ?? found,
  );
}

function withLines(present: string, wanted: string): string {
  const lines = new Set(present.split("\n").map((line) => line.trim()));
  const missing = wanted.split("\n").filter((line) => line !== "" && !line.startsWith("#") && !lines.has(line));
  if (missing.length === 0) return present;
  return `${present}${present === "" || present.endsWith("\n") ? "" : "\n"}${missing.join("\n")}\n`;
}

async function presentFile(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
}
