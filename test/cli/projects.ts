import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";

const root = join(import.meta.dirname, "..", "..");

/** A directory with some files, removed when the test has finished. */
export async function directoryWith(files: Readonly<Record<string, string>> = {}): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "retake-authoring-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true, maxRetries: 5 }));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), content);
  }
  return directory;
}

/** Gives a project the packages of this repository, and the repository itself as retake. */
export async function installInto(directory: string): Promise<void> {
  const modules = join(directory, "node_modules");
  await mkdir(join(modules, ".bin"), { recursive: true });
  for (const name of ["@bufbuild", "@connectrpc", "@types", "typescript", ".bin/protoc-gen-es"]) {
    await symlink(join(root, "node_modules", name), join(modules, name));
  }
  await symlink(root, join(modules, "retake"));
}

/** A contract with the usual head, on its first eight lines. */
export function contract(body: string): string {
  return [
    'syntax = "proto3";',
    "",
    "package studio.v1;",
    "",
    'import "buf/validate/validate.proto";',
    'import "retake/v1/options.proto";',
    'import "retake/v1/run.proto";',
    "",
    body,
  ].join("\n");
}
