import { readdir, readFile, rm } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { type RolldownOutput, rolldown } from "rolldown";
import { root } from "./buf.ts";
import type { Manifest } from "./manifest.ts";

const sources = join(root, "src");

/** The one module that may ask where it is. */
const ownFiles = "own-files";

/**
 * Puts the modules of src/ together in few files of dist/, because Node needs longer to find and link hundreds of
 * modules than to read what is in them. Everything that can be imported or started has its file, and what several of
 * them need lies between them once: `retake`, `retake/client` and `retake/testing` know each other's objects. Packages
 * stay outside, and so does gen/, since users import the same.
 */
export async function bundle(): Promise<void> {
  await rm(join(root, "dist"), { recursive: true, force: true });
  const build = await rolldown({
    cwd: root,
    platform: "node",
    input: Object.fromEntries((await entries()).map((path) => [path, join(sources, `${path}.ts`)])),
    external: (id, importer) => importer !== undefined && !isOwn(id),
    // What the oldest Node that is supported cannot read is rewritten.
    transform: { target: "es2024" },
  });
  const { output } = await build.write({
    dir: join(root, "dist"),
    format: "esm",
    entryFileNames: "[name].js",
    // It must lie in dist/ itself. The names need no hash: the files are published together.
    chunkFileNames: ({ name }) => (name === ownFiles ? "[name].js" : "shared/[name].js"),
    sourcemap: true,
    codeSplitting: { groups: [{ name: ownFiles, test: /[\\/]src[\\/]own-files\.ts$/ }] },
  });
  await build.close();
  assertPlaceless(output);
}

/** What package.json offers, and what threads and processes start with. */
async function entries(): Promise<readonly string[]> {
  const { bin, exports } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as Manifest;
  const offered = [...Object.values(bin), ...Object.values(exports)]
    .map((target) => (typeof target === "string" ? target : (target["default"] ?? "")))
    .flatMap((target) => /^\.\/dist\/(.*)\.js$/.exec(target)?.[1] ?? []);
  const started: string[] = [];
  for (const file of await readdir(sources, { recursive: true })) {
    if (file.endsWith(".ts")) {
      const text = await readFile(join(sources, file), "utf8");
      started.push(...Array.from(text.matchAll(/\bownModule\("([^"]+)"\)/g), ([, path = ""]) => path));
    }
  }
  return [...offered, ...started];
}

function isOwn(id: string): boolean {
  return id.startsWith(`${sources}${sep}`) || (id.startsWith(".") && !/(^|\/)gen\//.test(id));
}

/** A module that asks where it is would get another answer here than in src/. */
function assertPlaceless(output: RolldownOutput["output"]): void {
  for (const file of output) {
    if (file.type === "chunk" && file.name !== ownFiles && file.code.includes("import.meta")) {
      const modules = file.moduleIds.map((id) => relative(root, id)).join(", ");
      throw new Error(`one of these asks for import.meta, which only src/own-files.ts may: ${modules}`);
    }
  }
}
