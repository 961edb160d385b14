import { type DescMethod, type DescService, getOption, hasOption } from "@bufbuild/protobuf";
import { Health } from "../../../gen/grpc/health/v1/health_pb.js";
import { ServerReflection } from "../../../gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionV1Alpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { AccessLevel, access as accessOption } from "../../../gen/retake/v1/options_pb.js";
import { type ReadContracts, resolveAccess, type Workflow, workflowName } from "../../contract/index.ts";
import { compileAccessCondition } from "./condition.ts";
import type { Requirement } from "./requirement.ts";

type Contracts = Pick<ReadContracts, "services" | "workflows" | "types">;

/** Services whose protos are others': health is for whoever probes, contracts are shown to those who may be callers. */
const foreignServices: ReadonlyMap<string, AccessLevel> = new Map([
  [Health.typeName, AccessLevel.PUBLIC],
  [ServerReflection.typeName, AccessLevel.AUTHENTICATED],
  [ServerReflectionV1Alpha.typeName, AccessLevel.AUTHENTICATED],
]);

/** Services that are about the whole server. */
const wholeServer: ReadonlySet<string> = new Set([AdminService.typeName, MonitoringService.typeName]);

/** Methods of them that keep to the workflows that their caller's credentials are limited to. A new one is none of these. */
const keepToWorkflows: ReadonlySet<DescMethod> = new Set([
  AdminService.method.listBreakers,
  AdminService.method.forceBreaker,
  AdminService.method.listQualityLevels,
  AdminService.method.setQualityLevel,
  AdminService.method.listFaults,
  AdminService.method.injectFault,
  AdminService.method.removeFault,
  AdminService.method.listPolicyOverrides,
  AdminService.method.setPolicyOverride,
  AdminService.method.deletePolicyOverride,
  // Of keys that can do no more than the caller's.
  AdminService.method.createApiKey,
  AdminService.method.listApiKeys,
  AdminService.method.rotateApiKey,
  AdminService.method.revokeApiKey,
]);

/**
 * What it takes to call each method that is served. A workflow's policy says it, the option `(retake.v1.access)` of the
 * server's own methods, and where nobody does, it takes ADMIN.
 *
 * @throws ExpressionError for a condition that `accessProblems` would have told
 */
export function readRequirements(contracts: Contracts): ReadonlyMap<DescMethod, Requirement> {
  const requirements = new Map<DescMethod, Requirement>();
  for (const service of contracts.services.values()) {
    for (const method of service.methods) {
      const workflow = contracts.workflows.get(workflowName(method));
      requirements.set(
        method,
        workflow === undefined ? ownRequirement(service, method) : workflowRequirement(workflow, contracts),
      );
    }
  }
  return requirements;
}

/** @throws ExpressionError */
export function workflowRequirement(
  { name, input, policy }: Workflow,
  { types }: Pick<Contracts, "types">,
): Requirement {
  const { access } = policy;
  const { min = AccessLevel.ADMIN, groups = [], condition } = access ?? {};
  return {
    method: name,
    workflow: true,
    declared: access !== undefined,
    min,
    groups,
    ...(condition !== undefined && { condition: compileAccessCondition(condition, input, types) }),
    levelOnly: groups.length === 0 && condition === undefined,
  };
}

/** What is said of a method that is no workflow. */
function ownRequirement(service: DescService, method: DescMethod): Requirement {
  const { min, groups } = resolveAccess(getOption(method, accessOption));
  return {
    method: workflowName(method),
    workflow: false,
    declared: true,
    min: hasOption(method, accessOption) ? min : (foreignServices.get(service.typeName) ?? AccessLevel.ADMIN),
    groups,
    wholeServer: wholeServer.has(service.typeName) && !keepToWorkflows.has(method),
    levelOnly: groups.length === 0,
  };
}
