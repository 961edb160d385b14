import { type DescMethod, getOption } from "@bufbuild/protobuf";
import {
  type WorkflowPolicy,
  WorkflowPolicySchema,
  workflow as workflowOption,
} from "../../gen/retake/v1/options_pb.js";
import { clearProblems } from "./cleared-paths.ts";
import type { ContractProblem } from "./contract-error.ts";
import type { Policy } from "./policy.ts";
import { ruleViolations } from "./rule-violations.ts";
import { workflowName } from "./workflow.ts";

/** What is wrong with the policy that a contract declares, or with what the operator overrides of it. */
export function declarationProblems(method: DescMethod, override: WorkflowPolicy | undefined): ContractProblem[] {
  const where = workflowName(method);
  const option = ruleViolations(WorkflowPolicySchema, getOption(method, workflowOption));
  const overridden = override === undefined ? [] : ruleViolations(WorkflowPolicySchema, override);
  return [
    ...option.map(({ message, ...rest }) => ({ ...rest, where, message: `option (retake.v1.workflow): ${message}` })),
    ...overridden.map(({ message, ...rest }) => ({ ...rest, where, message: `the operator's override: ${message}` })),
    ...clearedProblems(where, getOption(method, workflowOption), override),
  ];
}

function clearedProblems(
  where: string,
  option: WorkflowPolicy,
  override: WorkflowPolicy | undefined,
): readonly ContractProblem[] {
  const inContract =
    "option (retake.v1.workflow): clear: there is nothing that a contract could take back: leave it out";
  return [
    ...(option.clear.length > 0 ? [inContract] : []),
    ...clearProblems(override?.clear ?? []).map((message) => `the operator's override: ${message}`),
  ].map((message) => ({ where, field: "clear", message }));
}

/** What does not fit together in a policy whose values are each in range. */
export function policyProblems(where: string, { retry, notify }: Policy): ContractProblem[] {
  const problems: ContractProblem[] = [];
  if (notify !== undefined && !URL.canParse(notify.url)) {
    problems.push({
      where,
      field: "notify.url",
      message: `notify.url: "${notify.url}" is no URL; one looks like https://hooks.example/retake`,
    });
  }
  if (retry === undefined || retry.initialBackoffMs <= retry.maxBackoffMs) return problems;
  return [
    ...problems,
    {
      where,
      field: "retry.initial_backoff",
      message:
        `retry.initial_backoff: ${seconds(retry.initialBackoffMs)} is longer than retry.max_backoff, ` +
        `${seconds(retry.maxBackoffMs)}; lower it, or raise retry.max_backoff`,
    },
  ];
}

function seconds(ms: number): string {
  return `${ms / 1_000} s`;
}
