import { copyFile, mkdir, rm, writeFile } from "node:fs/promises";
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
 * Writes every import of our contracts that no package offers to buf as a file, below `directory`. protovalidate comes
 * as the descriptor in its package, so that what we compile against is what we run with.
 */
export async function deriveImports(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  const path = async (name: string): Promise<string> => {
    const file = join(directory, name);
    await mkdir(dirname(file), { recursive: true });
    return file;
  };
  for (const [name, source] of Object.entries(copied)) await copyFile(join(packages, source), await path(name));
  await writeFile(await path("buf/validate/validate.proto"), printProto(file_buf_validate_validate));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await deriveImports(join(import.meta.dirname, "..", "build", "imports"));
}
