import type { WorkflowPolicy } from "../../gen/retake/v1/options_pb.js";
import { ContractError, type ContractProblem } from "./contract-error.ts";
import { FallbackMappings } from "./mapping/fallback-mappings.ts";
import { joinOverrides } from "./merge-policy.ts";
import { readWorkflows } from "./read-workflows.ts";
import type { ReadContracts } from "./registry.ts";

/**
 * The same contracts with other policies: what is overridden of a workflow stands on top of its option and of the
 * override that it was read with. Whatever names no workflow overrides nothing.
 *
 * @throws ContractError with everything that does not fit
 */
export function overridePolicies(
  contracts: ReadContracts,
  overrides: ReadonlyMap<string, WorkflowPolicy>,
): ReadContracts {
  const { source, workflows } = contracts;
  const own = source.overrides ?? {};
  const merged: Record<string, WorkflowPolicy> = { ...own };
  for (const [name, override] of overrides) {
    if (workflows.has(name)) {
      const before = Object.hasOwn(own, name) ? own[name] : undefined;
      merged[name] = before === undefined ? override : joinOverrides(before, override);
    }
  }
  const problems: ContractProblem[] = [];
  const mappings = new FallbackMappings(source.converters);
  const { services } = source;
  const changed = readWorkflows({ ...contracts, services, overrides: merged, mappings }, problems);
  if (problems.length > 0) throw new ContractError(problems);
  return { ...contracts, workflows: changed, mappings };
}
