// Fails when the contracts break those of the last commit on main, for callers or for journals that hold their messages.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { buf, buildDirectory, root } from "./buf.ts";
import { deriveImports } from "./derive-imports.ts";

const git = async (...args: readonly string[]): Promise<Buffer> => {
  const options = { cwd: root, encoding: "buffer", maxBuffer: 64 * 1024 * 1024 } as const;
  return (await promisify(execFile)("git", args, options)).stdout;
};

const base = await firstCommit("main", "origin/main");
await deriveImports(join(buildDirectory, "imports"));
if (base === undefined) console.log("No commit on main yet that the contracts could break.");
else await compareWith(base);

async function firstCommit(...branches: readonly string[]): Promise<string | undefined> {
  for (const branch of branches) {
    const commit = await git("rev-parse", "--verify", "--quiet", `${branch}^{commit}`).catch(() => undefined);
    if (commit !== undefined) return commit.toString().trim();
  }
  return undefined;
}

async function compareWith(commit: string): Promise<void> {
  const before = await mkdtemp(join(buildDirectory, "before-"));
  try {
    await writeFile(join(before, "main.tar"), await git("archive", "--format=tar", commit, "buf.yaml", "proto"));
    await promisify(execFile)("tar", ["-xf", "main.tar"], { cwd: before });
    await deriveImports(join(before, "build", "imports"));
    if (!(await buf("breaking", "proto", "--against", join(before, "proto")))) process.exitCode = 1;
  } finally {
    await rm(before, { recursive: true, force: true });
  }
}
