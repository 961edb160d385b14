import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { createFileRegistry, type FileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { deriveImports } from "../scripts/derive-imports.ts";

const root = join(import.meta.dirname, "..");

/** Compiles sources, given by their import path; nothing but each other and google/protobuf can be imported. */
export async function compileProtos(sources: Readonly<Record<string, string>>): Promise<FileRegistry> {
  return inTemporaryDirectory(async (directory) => {
    for (const [name, source] of Object.entries(sources)) {
      await mkdir(dirname(join(directory, name)), { recursive: true });
      await writeFile(join(directory, name), source);
    }
    return build(directory);
  });
}

/** Compiles the contracts of this repository, given by their folders, as they are now, with all that they import. */
export async function compileRepository(...folders: readonly string[]): Promise<FileRegistry> {
  return inTemporaryDirectory(async (directory) => {
    await deriveImports(directory);
    for (const folder of folders) await cp(join(root, folder), directory, { recursive: true });
    return build(directory);
  });
}

async function build(directory: string): Promise<FileRegistry> {
  const { stdout } = await promisify(execFile)(
    join(root, "node_modules", ".bin", "buf"),
    ["build", directory, "--as-file-descriptor-set", "--output", "-#format=binpb"],
    { encoding: "buffer", maxBuffer: 64 * 1024 * 1024 },
  );
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, stdout));
}

async function inTemporaryDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "retake-protos-"));
  try {
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
