export { incompatibilities } from "./compatibility.ts";
export { ContractError, type ContractProblem } from "./contract-error.ts";
export { contractSet, contractSha256 } from "./contract-set.ts";
export { fileBytes } from "./files.ts";
export { mergePolicy } from "./merge-policy.ts";
export type { Policy } from "./policy.ts";
export { type ContractRegistry, type Contracts, createContractRegistry } from "./registry.ts";
export type { ResponsePart, Updates } from "./updates.ts";
export { inputKey, type Workflow, workflowName } from "./workflow.ts";
