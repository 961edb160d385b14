import { type InputConfig, UnknownFields } from "../../gen/retake/v1/input_config_pb.js";

/** An `InputConfig` with every default filled in. */
export interface ResolvedInput {
  readonly unknownFields: UnknownFields;
  /** What protobuf-es takes for reading messages and JSON. */
  readonly binary: { readonly recursionLimit: number; readonly readUnknownFields: boolean };
  readonly json: { readonly recursionLimit: number; readonly ignoreUnknownFields: boolean };
}

/** What protobuf's own implementations take. */
const defaultMaxNesting = 100;

export function resolveInput(config: InputConfig | undefined): ResolvedInput {
  const unknownFields = config?.unknownFields || UnknownFields.KEEP;
  const recursionLimit = config?.maxNesting ?? defaultMaxNesting;
  return {
    unknownFields,
    binary: { recursionLimit, readUnknownFields: unknownFields !== UnknownFields.IGNORE },
    json: { recursionLimit, ignoreUnknownFields: unknownFields !== UnknownFields.REFUSE },
  };
}
