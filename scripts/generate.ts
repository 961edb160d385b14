// npm run generate: compiles the contracts. With --check it writes nothing and fails when the committed code is stale.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { buf, buildDirectory, root } from "./buf.ts";
import { deriveImports } from "./derive-imports.ts";

/** Each template of buf, and the folder that it alone fills. */
const outputs = [
  { template: "buf.gen.yaml", folder: "gen" },
  { template: "buf.gen.example.yaml", folder: "examples/video/gen" },
  { template: "buf.gen.test.yaml", folder: "test/gen" },
];

const check = process.argv.includes("--check");
await deriveImports(join(buildDirectory, "imports"));
const generated = await mkdtemp(join(buildDirectory, "generated-"));
try {
  const stale: string[] = [];
  for (const { template, folder } of outputs) {
    if (!(await buf("generate", "--template", template, "--output", generated))) process.exit(1);
    stale.push(...(await update(join(generated, folder), join(root, folder))));
  }
  if (check && stale.length > 0) {
    console.error("Generated code is not what the contracts say. Run `npm run generate` and commit what it changes.");
    process.exitCode = 1;
  }
} finally {
  await rm(generated, { recursive: true, force: true });
}

/** Makes `target` equal to `source`, or only looks with --check, and names each file that differs. */
async function update(source: string, target: string): Promise<string[]> {
  const wanted = await filesBelow(source);
  const present = await filesBelow(target);
  const stale: string[] = [];
  for (const file of new Set([...wanted.keys(), ...present.keys()])) {
    const content = wanted.get(file);
    if (content === present.get(file)) continue;
    const path = join(target, file);
    console.log(
      `${content === undefined ? "left over" : present.has(file) ? "changed" : "missing"}: ${relative(root, path)}`,
    );
    stale.push(path);
    if (check) continue;
    if (content === undefined) await rm(path);
    else {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, content);
    }
  }
  return stale;
}

/** The content of all files below a folder, by their path within it; none when there is no folder. */
async function filesBelow(directory: string): Promise<Map<string, string>> {
  await mkdir(directory, { recursive: true });
  const files = new Map<string, string>();
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(relative(directory, path), await readFile(path, "utf8"));
  }
  return files;
}
