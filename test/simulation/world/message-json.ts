import { createRegistry, type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";
import { file_google_rpc_error_details } from "../../../gen/google/rpc/error_details_pb.js";
import { file_retake_v1_run } from "../../../gen/retake/v1/run_pb.js";

/** What failures carry among their details. */
const registry = createRegistry(file_google_rpc_error_details, file_retake_v1_run);

/** A message as JSON, with the details of failures. */
export function messageJson<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): Record<string, unknown> {
  return toJson(schema, message, { registry }) as Record<string, unknown>;
}
