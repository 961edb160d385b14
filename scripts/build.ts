// npm run build: bundles src/ into dist/, with types, and proves that everything package.json promises is there and loads.
import { execFile, spawnSync } from "node:child_process";
import { chmod, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { root } from "./buf.ts";
import { bundle } from "./bundle.ts";
import type { Manifest } from "./manifest.ts";

await bundle();
const compiler = spawnSync(join(root, "node_modules", ".bin", "tsc"), ["--project", "tsconfig.build.json"], {
  cwd: root,
  stdio: "inherit",
});
if (compiler.status !== 0) process.exit(1);

const { name, bin, exports } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as Manifest;
for (const path of Object.values(bin)) {
  const file = join(root, path);
  const source = await promised(path);
  if (!source.startsWith("#!/usr/bin/env node\n")) fail(`${path} does not start with #!/usr/bin/env node`);
  await chmod(file, 0o755);
}
for (const [subpath, target] of Object.entries(exports)) {
  if (typeof target === "string") continue;
  if (target["types"] !== undefined) await promised(target["types"]);
  await load(`${name}${subpath.slice(1)}`);
}

/** Reads a file that package.json names. */
async function promised(path: string): Promise<string> {
  return readFile(join(root, path), "utf8").catch(() => fail(`package.json names ${path}, which src/ does not give`));
}

/** Imports as a user does: by name, without the condition that leads to the sources. */
async function load(specifier: string): Promise<void> {
  const script = `await import(${JSON.stringify(specifier)})`;
  try {
    await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], { cwd: root });
  } catch (error) {
    fail(`${specifier} does not load from dist/: ${(error as { stderr?: string }).stderr ?? error}`);
  }
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}
