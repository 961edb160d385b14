// Checks that modules depend downwards only and enter each other through the front door.
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * The modules, lowest layer first; each is a folder of src/, or one within that is listed by its path. A module may
 * import from lower layers (the lines above its own), through their `index.ts`; modules of one layer know nothing of
 * each other. Files directly in src/ belong to nobody: everyone may import them, and apart from the entry points they
 * import no module.
 */
const layers: readonly (readonly string[])[] = [
  ["contract", "transport", "config", "otlp"],
  ["runs"],
  ["security"],
  ["interceptors/rpc", "interceptors/run"],
  ["backends", "webhooks"],
  ["monitoring"],
  ["server"],
  ["client"],
  ["testing"],
  ["cli"],
];

/** Files directly in src/ that put modules together. */
const entryPoints: readonly string[] = ["index.ts"];

/** One import that breaks a rule, and what to do instead. */
export interface Violation {
  readonly file: string;
  readonly specifier: string;
  readonly reason: string;
}

/** Checks sources, given by their path within src/. */
export function findViolations(sources: ReadonlyMap<string, string>): Violation[] {
  return Array.from(sources).flatMap(([file, source]) =>
    importsOf(source).flatMap((specifier) => {
      const reason = objection(file, specifier);
      return reason === undefined ? [] : [{ file, specifier, reason }];
    }),
  );
}

function objection(file: string, specifier: string): string | undefined {
  if (specifier === "retake" || specifier.startsWith("retake/")) return "import by relative path within src/";
  if (!specifier.startsWith(".")) return undefined;
  const target = normalize(join(dirname(file), specifier));
  // Generated code is beside src/.
  if (target.startsWith(".."))
    return target.startsWith("../gen/") ? undefined : "only gen/ may be reached outside src/";
  const from = moduleOf(file);
  const to = moduleOf(target);
  if (to === undefined || to === from) return undefined;
  const layer = layerOf(to);
  if (layer === undefined) return `src/${to} has no layer yet: add it to scripts/check-imports.ts`;
  // A folder within a module may have a front door of its own: an adapter is not part of what everybody gets.
  if (!target.endsWith("/index.ts")) return `import from ${to}/index.ts, not from inside the module`;
  if (from === undefined) {
    return entryPoints.includes(file) ? undefined : "files directly in src/ are for everyone, so they import no module";
  }
  const own = layerOf(from);
  if (own === undefined) return `src/${from} has no layer yet: add it to scripts/check-imports.ts`;
  if (layer === own) return `${from} and ${to} are in one layer and know nothing of each other`;
  return layer > own ? `${from} is below ${to}: dependencies go downwards` : undefined;
}

/** The listed module that a path within src/ is in, else its first folder; undefined for a file directly in src/. */
function moduleOf(path: string): string | undefined {
  const listed = layers.flat().find((module) => path.startsWith(`${module}/`));
  return listed ?? (path.includes("/") ? path.slice(0, path.indexOf("/")) : undefined);
}

function layerOf(module: string): number | undefined {
  const layer = layers.findIndex((modules) => modules.includes(module));
  return layer < 0 ? undefined : layer;
}

/** Static and dynamic imports and re-exports; comments that look like one are rare enough to be found in review. */
function importsOf(source: string): string[] {
  const imports = source.matchAll(
    /(?:^|\n)\s*(?:import|export)\s(?:[^"';]*?\sfrom\s)?\s*"([^"]+)"|\bimport\("([^"]+)"\)/g,
  );
  return Array.from(imports, ([, fixed, dynamic]) => fixed ?? dynamic ?? "");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const src = join(import.meta.dirname, "..", "src");
  const files = (await readdir(src, { recursive: true })).filter((file) => file.endsWith(".ts"));
  const sources = new Map<string, string>();
  for (const file of files.sort()) sources.set(file, await readFile(join(src, file), "utf8"));
  const violations = findViolations(sources);
  for (const { file, specifier, reason } of violations) console.error(`src/${file}: "${specifier}": ${reason}`);
  if (violations.length > 0) process.exitCode = 1;
}
