import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

interface PackageManifest {
  readonly name: string;
  readonly version: string;
  readonly license: string;
}

/** What must be said of the packages whose code is within a bundle, given the modules that it is made of. */
export async function thirdPartyNotice(moduleIds: Iterable<string>): Promise<string> {
  const folders = new Set(Array.from(moduleIds, (id) => packageFolder(id)).filter((folder) => folder !== undefined));
  const parts = await Promise.all([...folders].sort().map(describe));
  return `The files of this folder contain code of these packages.\n\n${parts.join("\n")}`;
}

function packageFolder(moduleId: string): string | undefined {
  return /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(moduleId)?.[0];
}

async function describe(folder: string): Promise<string> {
  const { name, version, license } = JSON.parse(
    await readFile(join(folder, "package.json"), "utf8"),
  ) as PackageManifest;
  const heading = `${name} ${version}, ${license}`;
  const file = (await readdir(folder)).find((entry) => /^(licen[cs]e|notice)(\.|$)/i.test(entry));
  if (file !== undefined) return `${heading}\n\n${await readFile(join(folder, file), "utf8")}`;
  if (license !== "Apache-2.0") throw new Error(`${name} is under ${license}, and its folder does not say the terms`);
  // This package is under it, too.
  return `${heading}: see ../LICENSE\n`;
}
