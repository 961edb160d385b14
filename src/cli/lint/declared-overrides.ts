import type { ServerConfig } from "../../../gen/retake/v1/config_pb.js";
import type { CompiledContracts } from "../sources/compile.ts";
import type { Overrides } from "./lint-contracts.ts";

/**
 * What an operator says of the policies of contracts. Where the server takes contracts from elsewhere too, from descriptor
 * sets or by reflection, what is said of services that are not declared here is said of those.
 */
export function declaredOverrides(
  { workflows, contracts, backends }: Pick<ServerConfig, "workflows" | "contracts" | "backends">,
  { registry }: Pick<CompiledContracts, "registry">,
): Overrides {
  const isDeclared = (service: string): boolean => registry.getService(service) !== undefined;
  if (contracts.length === 0 && backends.every(({ service }) => isDeclared(service))) return workflows;
  return Object.fromEntries(Object.entries(workflows).filter(([name]) => isDeclared(name.slice(0, name.indexOf("/")))));
}
