// node --conditions=retake-source test/simulation/mutations.ts [--only WORDS] [--seeds N]: plants bugs one after the other,
// in a copy of the sources, and tells after how many seeds the simulation finds each.
import { spawnSync } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { applyEdit } from "./apply-edit.ts";
import { type Mutation, mutations } from "./mutation-list.ts";

const { values } = parseArgs({
  // More seeds than any of them has needed.
  options: { only: { type: "string", default: "" }, seeds: { type: "string", default: "2000" } },
});
const root = join(import.meta.dirname, "..", "..");

async function plant({ name, edits }: Mutation, copy: string): Promise<boolean> {
  for (const { file } of edits) {
    await cp(join(root, "src", file), join(copy, "src", file));
  }
  for (const edit of edits) {
    const path = join(copy, "src", edit.file);
    await writeFile(path, applyEdit(await readFile(path, "utf8"), edit));
  }
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ["--conditions=retake-source", "test/simulation/main.ts", "--quick", "--seeds", values.seeds],
    { cwd: copy, encoding: "utf8" },
  );
  for (const { file } of edits) {
    await cp(join(root, "src", file), join(copy, "src", file));
  }
  const [, seed, invariant] = /^seed (\d+): it does not hold that ([^:]*)/m.exec(stdout) ?? [];
  console.log(`| ${name} | ${seed ?? `not within ${values.seeds}`} | ${invariant ?? stderr.trim()} |`);
  return seed !== undefined;
}

const copy = await mkdtemp(join(tmpdir(), "retake-mutations-"));
try {
  for (const part of ["src", "gen", "test/gen", "test/simulation", "package.json"]) {
    await cp(join(root, part), join(copy, part), { recursive: true });
  }
  await symlink(join(root, "node_modules"), join(copy, "node_modules"));
  console.log("| what is planted | found by seed | because it does not hold that |\n| --- | --- | --- |");
  for (const mutation of mutations.filter(({ name }) => name.includes(values.only))) {
    if (!(await plant(mutation, copy))) {
      process.exitCode = 1;
    }
  }
} finally {
  await rm(copy, { recursive: true });
}
