// npm run generate: compiles the contracts. With --check it writes nothing and fails when the committed code is stale.
import { execFile } from "node:child_process";
import { access, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import { deriveImports } from "./derive-imports.ts";

const root = join(import.meta.dirname, "..");

/** Each template of buf, the protos it compiles and the folder it owns. */
const outputs = [
  { template: "buf.gen.yaml", protos: "proto", folder: "gen" },
  { template: "buf.gen.example.yaml", protos: "examples/video/proto", folder: "examples/video/gen" },
  { template: "buf.gen.test.yaml", protos: "test/proto", folder: "test/gen" },
];

const check = process.argv.includes("--check");
await deriveImports(join(root, "build", "imports"));
const generated = await mkdtemp(join(root, "build", "generated-"));
try {
  let stale = 0;
  for (const { template, protos, folder } of outputs) {
    if (!(await exists(join(root, protos)))) continue;
    await buf("generate", "--template", template, "--output", generated);
    stale += await update(join(generated, folder), join(root, folder));
  }
  if (check && stale > 0) {
    console.error(`${stale} generated files are not what the contracts say. Run: npm run generate`);
    process.exitCode = 1;
  }
} finally {
  await rm(generated, { recursive: true, force: true });
}

async function buf(...args: string[]): Promise<void> {
  const file = join(root, "node_modules", ".bin", "buf");
  try {
    await promisify(execFile)(file, args, { cwd: root });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    console.error(`${stdout ?? ""}${stderr ?? ""}buf ${args.join(" ")} failed`);
    process.exit(1);
  }
}

/** Makes `target` equal to `source` and reports each file that was not; only reports with --check. */
async function update(source: string, target: string): Promise<number> {
  const wanted = await filesBelow(source);
  const present = await filesBelow(target);
  let stale = 0;
  for (const file of new Set([...wanted, ...present])) {
    const content = wanted.has(file) ? await readFile(join(source, file), "utf8") : undefined;
    const current = present.has(file) ? await readFile(join(target, file), "utf8") : undefined;
    if (content === current) continue;
    stale += 1;
    console.log(`${verb(content, current)} ${relative(root, join(target, file))}`);
    if (check) continue;
    if (content === undefined) await rm(join(target, file));
    else {
      await mkdir(dirname(join(target, file)), { recursive: true });
      await writeFile(join(target, file), content);
    }
  }
  return stale;
}

function verb(wanted: string | undefined, current: string | undefined): string {
  if (wanted === undefined) return "left over:";
  return current === undefined ? "new:" : "changed:";
}

async function filesBelow(directory: string): Promise<Set<string>> {
  if (!(await exists(directory))) return new Set();
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return new Set(
    entries.filter((entry) => entry.isFile()).map((entry) => relative(directory, join(entry.parentPath, entry.name))),
  );
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
