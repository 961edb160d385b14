import { readFile, stat } from "node:fs/promises";
import { dirname, extname, resolve } from "node:path";

/** Sources of other languages and packages are nobody's business here. */
const readable = new Set([".ts", ".mts", ".cts", ".js", ".mjs", ".cjs"]);

/** What is made from contracts changes with them. */
const generated = /_pb\.(js|ts|d\.ts)$/;

/** The files that modules load, themselves included, as far as they import each other by relative paths. */
export async function importedFiles(entries: readonly string[]): Promise<readonly string[]> {
  const found = new Set(entries.map((entry) => resolve(entry)));
  // A set is iterated in order of insertion and sees what is added meanwhile.
  for (const file of found) {
    if (!readable.has(extname(file))) continue;
    const source = await readFile(file, "utf8").catch(() => "");
    for (const specifier of relativeImports(source)) {
      const path = resolve(dirname(file), specifier);
      if (!generated.test(path) && (await isFile(path))) found.add(path);
    }
  }
  return [...found];
}

/** Static and dynamic ones, and re-exports. One that stands in a comment is watched for nothing, which harms nobody. */
function relativeImports(source: string): string[] {
  const imports = source.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*["'](\.{1,2}\/[^"']+)["']/g);
  return Array.from(imports, ([, specifier = ""]) => specifier);
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
