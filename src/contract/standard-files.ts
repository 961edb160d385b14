import type { DescFile } from "@bufbuild/protobuf";
import {
  file_google_protobuf_any,
  file_google_protobuf_api,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_source_context,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_type,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { file_google_rpc_code } from "../../gen/google/rpc/code_pb.js";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.js";
import { file_google_rpc_status } from "../../gen/google/rpc/status_pb.js";
import { file_retake_v1_artifact } from "../../gen/retake/v1/artifact_pb.js";
import { file_retake_v1_options } from "../../gen/retake/v1/options_pb.js";
import { file_retake_v1_rules } from "../../gen/retake/v1/rules_pb.js";
import { file_retake_v1_run } from "../../gen/retake/v1/run_pb.js";
import { file_retake_v1_run_service } from "../../gen/retake/v1/run_service_pb.js";
import { file_retake_v1_webhook } from "../../gen/retake/v1/webhook_pb.js";

/**
 * What every contract may rest on, by file name, imports first. A contract brings its own copies of them, of whatever
 * version it was compiled with; these are the ones that the server works with, and the only ones that it shows.
 */
export const standardFiles: ReadonlyMap<string, DescFile> = new Map(
  [
    file_google_protobuf_any,
    file_google_protobuf_source_context,
    file_google_protobuf_type,
    file_google_protobuf_api,
    file_google_protobuf_descriptor,
    file_google_protobuf_duration,
    file_google_protobuf_empty,
    file_google_protobuf_field_mask,
    file_google_protobuf_struct,
    file_google_protobuf_timestamp,
    file_google_protobuf_wrappers,
    file_google_rpc_code,
    file_google_rpc_error_details,
    file_google_rpc_status,
    file_buf_validate_validate,
    file_retake_v1_options,
    file_retake_v1_rules,
    file_retake_v1_run,
    file_retake_v1_run_service,
    file_retake_v1_artifact,
    file_retake_v1_webhook,
  ].map((file) => [file.proto.name, file]),
);
