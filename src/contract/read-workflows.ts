import { createHash } from "node:crypto";
import {
  create,
  createRegistry,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  getOption,
  hasOption,
  type Registry,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type WorkflowPolicy,
  WorkflowPolicySchema,
  workflow as workflowOption,
} from "../../gen/retake/v1/options_pb.js";
import { suggestion } from "../nearest-name.ts";
import { ContractError, type ContractProblem } from "./contract-error.ts";
import { contractSha256 } from "./contract-set.ts";
import { keyFields } from "./idempotency-key.ts";
import { mergePolicy } from "./merge-policy.ts";
import { type Policy, resolvePolicy } from "./policy.ts";
import { readUpdates, type Updates, unaryUpdates } from "./updates.ts";
import { type Workflow, workflowName } from "./workflow.ts";

export interface WorkflowSources {
  readonly services: readonly DescService[];
  /** What the operator overrides of a workflow's policy, by its name; naming a method makes it a workflow. */
  readonly overrides: Readonly<Record<string, WorkflowPolicy>>;
  /** All types that rules may use: extensions above all. */
  readonly types: Registry;
}

/**
 * The workflows of the services, by name: methods with the option `(retake.v1.workflow)`, and those that the operator
 * names.
 *
 * @throws ContractError with everything that is wrong with any of them
 */
export function readWorkflows(
  services: readonly DescService[],
  overrides: Readonly<Record<string, WorkflowPolicy>> = {},
  types: Registry = createRegistry(...services.map(({ file }) => file)),
): ReadonlyMap<string, Workflow> {
  const problems: ContractProblem[] = [];
  const workflows = findWorkflows({ services, overrides, types }, problems);
  if (problems.length > 0) throw new ContractError(problems);
  return workflows;
}

/** The same, adding to the problems. What it returns is complete only if there are none. */
export function findWorkflows(sources: WorkflowSources, problems: ContractProblem[]): ReadonlyMap<string, Workflow> {
  const { services, overrides } = sources;
  const methods = new Map(
    services.flatMap((service) => service.methods.map((method) => [workflowName(method), method])),
  );
  const workflows = new Map<string, Workflow>();
  for (const [name, method] of [...methods].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const override = Object.hasOwn(overrides, name) ? overrides[name] : undefined;
    if (!hasOption(method, workflowOption) && override === undefined) continue;
    const workflow = readWorkflow(method, override, problems);
    if (workflow !== undefined) workflows.set(name, workflow);
  }
  for (const name of Object.keys(overrides)) {
    if (methods.has(name)) continue;
    const message = `is configured, but no contract has such a method.${suggestion(name, methods.keys())}`;
    problems.push({ where: name, message });
  }
  return workflows;
}

function readWorkflow(
  method: DescMethod,
  override: WorkflowPolicy | undefined,
  problems: ContractProblem[],
): Workflow | undefined {
  const name = workflowName(method);
  const declared = mergePolicy(getOption(method, workflowOption), override);
  const updates = updatesOf(method, problems);
  const policy = policyOf(name, declared, problems);
  if (updates === undefined || policy === undefined) return undefined;
  const [keyField] = keyFields(method.input);
  return {
    name,
    service: method.parent,
    method: method as unknown as DescMethodUnary | DescMethodServerStreaming,
    input: method.input,
    output: method.output,
    streaming: method.methodKind === "server_streaming",
    policy,
    declared,
    policyRevision: revisionOf(declared),
    contractSha256: contractSha256({ service: method.parent }),
    ...(keyField && { keyField }),
    updates,
  };
}

function policyOf(_name: string, declared: WorkflowPolicy, _problems: ContractProblem[]): Policy | undefined {
  return resolvePolicy(create(WorkflowPolicySchema, declared));
}

function updatesOf(method: DescMethod, problems: ContractProblem[]): Updates | undefined {
  switch (method.methodKind) {
    case "unary":
      return unaryUpdates;
    case "server_streaming": {
      const updates = readUpdates(method.output);
      if (!("problems" in updates)) return updates;
      for (const { field, message } of updates.problems) {
        const where = field === undefined ? workflowName(method) : `${workflowName(method)}: ${field}`;
        problems.push({ where, message });
      }
      return undefined;
    }
    default:
      problems.push({
        where: workflowName(method),
        message: "streams its requests. A workflow takes one request: make it unary or server-streaming",
      });
      return undefined;
  }
}

const revisionBytes = 8;

function revisionOf(declared: WorkflowPolicy): string {
  const digest = createHash("sha256").update(toBinary(WorkflowPolicySchema, declared)).digest();
  return digest.subarray(0, revisionBytes).toString("hex");
}
