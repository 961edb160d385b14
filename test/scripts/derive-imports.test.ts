import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { deriveImports } from "../../scripts/derive-imports.ts";

describe("deriveImports", () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "retake-imports-"));
  });

  afterEach(() => rm(directory, { recursive: true, force: true }));

  it("writes every import of the contracts, and nothing else stays", async () => {
    await mkdir(join(directory, "google/rpc"), { recursive: true });
    await writeFile(join(directory, "google/rpc/http.proto"), "left over");
    await writeFile(join(directory, "google/rpc/status.proto"), "outdated");
    await deriveImports(directory);
    expect(await filesBelow(directory)).toEqual([
      "buf/validate/validate.proto",
      "google/rpc/code.proto",
      "google/rpc/error_details.proto",
      "google/rpc/status.proto",
      "grpc/health/v1/health.proto",
      "grpc/reflection/v1/reflection.proto",
      "grpc/reflection/v1alpha/reflection.proto",
    ]);
    expect(await readFile(join(directory, "google/rpc/status.proto"), "utf8")).toContain("message Status {");
  });

  it("does not touch files that are right already", async () => {
    await deriveImports(directory);
    const before = await modified(directory);
    await deriveImports(directory);
    expect(await modified(directory)).toEqual(before);
  });
});

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .sort();
}

async function modified(directory: string): Promise<number[]> {
  const files = await filesBelow(directory);
  return Promise.all(files.map(async (file) => (await stat(join(directory, file))).mtimeMs));
}
