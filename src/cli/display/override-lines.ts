import { toJson } from "@bufbuild/protobuf";
import { stringify } from "yaml";
import type { WorkflowPolicy } from "../../../gen/retake/v1/options_pb.js";
import { WorkflowPolicySchema } from "../../../gen/retake/v1/options_pb.js";
import type { PolicyOverride } from "../../../gen/retake/v1/policy_override_pb.js";
import { plainText } from "./plain-text.ts";
import { showTime, timestampMs } from "./times.ts";

/** An override for people, and its policy as it can be sent again. */
export function overrideLines(override: PolicyOverride): string[] {
  const { workflow, revision, setBy, setTime, reason, problems, policy, effectivePolicy } = override;
  return [
    `Workflow  ${plainText(workflow)}`,
    `Revision  ${revision}`,
    `Set       by ${plainText(setBy)}${setTime === undefined ? "" : `, ${showTime(timestampMs(setTime))}`}`,
    ...(reason === "" ? [] : [`Reason    ${plainText(reason)}`]),
    ...problems.map((problem) => `Not in force: ${plainText(problem)}`),
    "",
    "Override:",
    ...policyLines(policy),
    ...(effectivePolicy === undefined ? [] : ["", "Policy:", ...policyLines(effectivePolicy)]),
  ];
}

/** As it stands in retake.yaml. */
function policyLines(policy: WorkflowPolicy | undefined): string[] {
  const json = policy === undefined ? {} : toJson(WorkflowPolicySchema, policy, { useProtoFieldName: true });
  return stringify(json)
    .trimEnd()
    .split("\n")
    .map((line) => `  ${" ".repeat(line.search(/\S|$/))}${plainText(line)}`);
}
