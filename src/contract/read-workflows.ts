import { createHash } from "node:crypto";
import {
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  getOption,
  hasOption,
  type Registry,
  toBinary,
} from "@bufbuild/protobuf";
import type { Validator } from "@bufbuild/protovalidate";
import {
  type WorkflowPolicy,
  WorkflowPolicySchema,
  workflow as workflowOption,
} from "../../gen/retake/v1/options_pb.js";
import { suggestion } from "../nearest-name.ts";
import { carriesArtifacts } from "./artifact-fields.ts";
import { fallbackProblems, mappingProblems } from "./check-fallbacks.ts";
import { declarationProblems, policyProblems } from "./check-policy.ts";
import { requestProblems } from "./check-request.ts";
import { ruleProblems } from "./check-rules.ts";
import type { ContractProblem } from "./contract-error.ts";
import { contractSha256 } from "./contract-set.ts";
import { keyFields } from "./idempotency-key.ts";
import { FallbackMappings } from "./mapping/fallback-mappings.ts";
import { mergePolicy } from "./merge-policy.ts";
import { workflowLines } from "./offered-services.ts";
import { resolvePolicy } from "./policy.ts";
import { hasQualityRules } from "./quality/rules.ts";
import { hasSensitiveFields } from "./sensitive-fields.ts";
import { readUpdates, type Updates, unaryUpdates } from "./updates.ts";
import { type Workflow, workflowName } from "./workflow.ts";

export interface WorkflowSources {
  readonly services: readonly DescService[];
  /** What the operator overrides of a workflow's policy, by its name; naming a method makes it a workflow. */
  readonly overrides: Readonly<Record<string, WorkflowPolicy>>;
  /** All types that validation rules may use: extensions above all. */
  readonly types: Registry;
  /** A validator that knows these types. */
  readonly validator: Validator;
  /** Default: without converters. */
  readonly mappings?: FallbackMappings;
  /** Requests whose rules have been looked at before; those are added that are looked at now. Default: none. */
  readonly soundRequests?: WeakSet<DescMessage>;
}

/**
 * The workflows of the services, by name: methods with the option `(retake.v1.workflow)`, and those that the operator
 * names. Adds everything that is wrong with any of them to the problems; with problems, what it returns is incomplete.
 */
export function readWorkflows(sources: WorkflowSources, problems: ContractProblem[]): ReadonlyMap<string, Workflow> {
  const methods = methodsByName(sources.services);
  const { mappings = new FallbackMappings() } = sources;
  const declarations = readDeclarations(methods, sources, problems);
  const requests = new Set([...methods.values()].map(({ input }) => input));
  const fieldsReported = new Set<DescField>();
  const workflows = new Map<string, Workflow>();
  const fallbacks = new Map<string, readonly string[]>();
  for (const { name, method, declared } of declarations) {
    for (const { field, message } of requestProblems(method.input, requests)) {
      if (!fieldsReported.has(field)) problems.push({ where: name, message: `${field} ${message}` });
      fieldsReported.add(field);
    }
    const updates = readResponse(method, declared?.updates ?? [], problems);
    fallbacks.set(name, declared?.fallbacks ?? []);
    if (declared === undefined) continue;
    const workflow = updates && createWorkflow(method, declared, updates);
    problems.push(...policyProblems(name, resolvePolicy(declared)));
    if (workflow !== undefined) workflows.set(name, workflow);
  }
  problems.push(...fallbackProblems(fallbacks, new Set(methods.keys())), ...mappingProblems(workflows, mappings));
  problems.push(...newRuleProblems(new Set(declarations.map(({ method }) => method.input)), sources));
  return workflows;
}

function newRuleProblems(inputs: ReadonlySet<DescMessage>, sources: WorkflowSources): readonly ContractProblem[] {
  const { soundRequests = new WeakSet() } = sources;
  if (inputs.size > 0 && [...inputs].every((input) => soundRequests.has(input))) {
    return [];
  }
  const problems = ruleProblems(inputs, sources);
  if (problems.length === 0) {
    for (const input of inputs) soundRequests.add(input);
  }
  return problems;
}

function methodsByName(services: readonly DescService[]): ReadonlyMap<string, DescMethod> {
  const methods = services.flatMap((service) => service.methods);
  return new Map(methods.map((method) => [workflowName(method), method] as const).sort(([a], [b]) => (a < b ? -1 : 1)));
}

interface Declaration {
  readonly name: string;
  readonly method: DescMethod;
  /** Absent when it breaks its rules. */
  readonly declared?: WorkflowPolicy;
}

function readDeclarations(
  methods: ReadonlyMap<string, DescMethod>,
  { services, overrides }: WorkflowSources,
  problems: ContractProblem[],
): readonly Declaration[] {
  const declarations: Declaration[] = [];
  for (const [name, method] of methods) {
    const override = Object.hasOwn(overrides, name) ? overrides[name] : undefined;
    if (!hasOption(method, workflowOption) && override === undefined) continue;
    const broken = declarationProblems(method, override);
    problems.push(...broken);
    const declared = broken.length === 0 ? mergePolicy(getOption(method, workflowOption), override) : undefined;
    declarations.push({ name, method, ...(declared && { declared }) });
  }
  for (const name of Object.keys(overrides)) {
    if (methods.has(name)) continue;
    const message = `is configured under \`workflows\`, but no contract has it.${suggestion(name, methods.keys())}`;
    problems.push({ where: name, message });
  }
  for (const service of services) {
    if (declarations.some(({ method }) => method.parent === service)) continue;
    problems.push({ where: service.typeName, message: noWorkflow(service) });
  }
  return declarations;
}

function noWorkflow(service: DescService): string {
  const message = "has no workflow: give a method the option (retake.v1.workflow), or name it under `workflows`";
  const lines = workflowLines([service]);
  return lines === "" ? message : `${message}:\n${lines}`;
}

function readResponse(method: DescMethod, named: readonly string[], problems: ContractProblem[]): Updates | undefined {
  const where = workflowName(method);
  switch (method.methodKind) {
    case "unary":
      if (named.length > 0) {
        const message = "updates: it is unary, and answers with its result only";
        problems.push({ where, field: "updates", message });
      }
      return unaryUpdates;
    case "server_streaming": {
      const updates = readUpdates(method.output, named);
      if (!("problems" in updates)) return updates;
      for (const { field, message } of updates.problems) {
        problems.push({ where, message: field === undefined ? message : `${field} ${message}` });
      }
      return undefined;
    }
    default:
      problems.push({ where, message: "streams its requests. Make it unary or server-streaming: a run has one input" });
      return undefined;
  }
}

function createWorkflow(method: DescMethod, declared: WorkflowPolicy, updates: Updates): Workflow {
  const [keyField] = keyFields(method.input);
  const policy = resolvePolicy(declared);
  const inputQuality = hasQualityRules(method.input);
  return {
    name: workflowName(method),
    service: method.parent,
    method: method as DescMethod & (DescMethodUnary<DescMessage> | DescMethodServerStreaming<DescMessage>),
    input: method.input,
    output: method.output,
    streaming: method.methodKind === "server_streaming",
    policy,
    declared,
    policyRevision: revisionOf(declared),
    contractSha256: contractSha256({ service: method.parent }),
    ...(keyField && { keyField }),
    updates,
    inputArtifacts: carriesArtifacts(method.input),
    outputArtifacts: carriesArtifacts(method.output),
    sensitive: hasSensitiveFields(method.input) || hasSensitiveFields(method.output),
    inputQuality,
    degradable: inputQuality || policy.quality !== undefined || policy.retry?.lowerQuality === true,
  };
}

const revisionBytes = 8;

function revisionOf(declared: WorkflowPolicy): string {
  const digest = createHash("sha256").update(toBinary(WorkflowPolicySchema, declared)).digest();
  return digest.subarray(0, revisionBytes).toString("hex");
}
