import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { UnknownFields } from "../../gen/retake/v1/input_config_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import type { ResolvedInput } from "../config/index.ts";

const { file } = RunService;

/** Whether a service is one of Retake itself, and no contract's. */
export function isOwnService(service: DescService): boolean {
  return service.file.proto.package === file.proto.package;
}

/**
 * How the requests of a service are read. Those of Retake's own say what is to be done: without the part that is not
 * known an alert rule means something else, and a filter matches every run. So they are refused, whatever the
 * configuration says of the inputs of workflows, which others than this server may understand.
 */
export function readingOf(service: DescService, configured: ResolvedInput): ResolvedInput {
  if (!isOwnService(service)) return configured;
  return {
    unknownFields: UnknownFields.REFUSE,
    binary: { ...configured.binary, readUnknownFields: true },
    json: { ...configured.json, ignoreUnknownFields: false },
  };
}

/** The methods whose requests may not have fields that are not known. */
export function refusesUnknown({ unknownFields }: ResolvedInput): (method: DescMethod) => boolean {
  return unknownFields === UnknownFields.REFUSE ? () => true : ({ parent }) => isOwnService(parent);
}
