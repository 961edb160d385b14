import { readdir, readFile } from "node:fs/promises";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { file_google_rpc_code } from "../../gen/google/rpc/code_pb.js";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.js";
import { file_google_rpc_status } from "../../gen/google/rpc/status_pb.js";
import { printProto } from "../contract/index.ts";
import { packageRoot } from "../own-files.ts";

const ownProtos = new URL("proto/", packageRoot);

/** Those that others own, as this version works with them: printed from the very descriptors. */
const others = [
  file_buf_validate_validate,
  file_google_rpc_code,
  file_google_rpc_error_details,
  file_google_rpc_status,
];

/**
 * The source of every `.proto` that a contract may import, by its import path. Those of google/protobuf are left out:
 * protoc and buf bring them.
 */
export async function contractImports(): Promise<ReadonlyMap<string, string>> {
  const sources = new Map<string, string>();
  for (const name of await readdir(new URL("retake/v1/", ownProtos))) {
    const path = `retake/v1/${name}`;
    if (name.endsWith(".proto")) sources.set(path, await readFile(new URL(path, ownProtos), "utf8"));
  }
  for (const file of others) {
    sources.set(file.proto.name, `// Printed from the descriptor that retake works with.\n${printProto(file)}`);
  }
  return new Map([...sources].sort(([a], [b]) => (a < b ? -1 : 1)));
}
