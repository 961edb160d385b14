import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { printProto } from "../src/contract/print-proto.ts";

const packages = join(import.meta.dirname, "..", "node_modules");

/** The `.proto` files that our contracts import or our server serves, and the packages that carry them. */
const copied = {
  "google/rpc/code.proto": "google-gax/build/protos/google/rpc/code.proto",
  "google/rpc/error_details.proto": "google-gax/build/protos/google/rpc/error_details.proto",
  "google/rpc/status.proto": "google-gax/build/protos/google/rpc/status.proto",
  "grpc/health/v1/health.proto": "grpc-health-check/proto/health/v1/health.proto",
  "grpc/reflection/v1/reflection.proto": "@grpc/reflection/build/proto/grpc/reflection/v1/reflection.proto",
  "grpc/reflection/v1alpha/reflection.proto": "@grpc/reflection/build/proto/grpc/reflection/v1alpha/reflection.proto",
};

/**
 * Writes every import of our contracts that no package offers to buf as a file, below `directory`, and leaves nothing
 * else there. protovalidate comes as the descriptor in its package, so that what we compile against is what we run
 * with. Files that are right already are not touched: another process may be compiling them.
 */
export async function deriveImports(directory: string): Promise<void> {
  const sources = new Map([["buf/validate/validate.proto", printProto(file_buf_validate_validate)]]);
  for (const [name, source] of Object.entries(copied)) {
    sources.set(name, await readFile(join(packages, source), "utf8"));
  }
  for (const [name, source] of sources) {
    const file = join(directory, name);
    if ((await readFile(file, "utf8").catch(() => undefined)) === source) continue;
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, source);
  }
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    if (entry.isFile() && !sources.has(file.slice(directory.length + 1))) await rm(file);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await deriveImports(join(import.meta.dirname, "..", "build", "imports"));
}
