export { artifactIdsIn, carriesArtifacts } from "./artifact-fields.ts";
export { deepestFallback } from "./check-fallbacks.ts";
export { incompatibilities } from "./compatibility.ts";
export { ContractError, type ContractProblem } from "./contract-error.ts";
export { contractSet, contractSha256 } from "./contract-set.ts";
export { type DescriptorSource, loadDescriptors, parseDescriptorSet } from "./descriptor-files.ts";
export { fileBytes, withImports } from "./files.ts";
export { hasRules } from "./has-rules.ts";
export { isKeyField, keyFields } from "./idempotency-key.ts";
export { type AnyConverter, anyConverter, type Converters, type FallbackConverter } from "./mapping/converter.ts";
export type { FallbackMapping } from "./mapping/fallback-mapping.ts";
export { converterName, type FallbackMappings } from "./mapping/fallback-mappings.ts";
export type { LostField } from "./mapping/message-mapping.ts";
export { typeText } from "./mapping/type-text.ts";
export { mergePolicy } from "./merge-policy.ts";
export { offeredServices, workflowLines } from "./offered-services.ts";
export { overridePolicies } from "./override-policies.ts";
export { type Place, type Placed, placeOf } from "./place.ts";
export {
  defaultQuality,
  type Policy,
  type ResolvedCircuitBreaker,
  type ResolvedQuality,
  type ResolvedRecoveryRule,
  resolveAccess,
} from "./policy.ts";
export { printProto } from "./print-proto.ts";
export { degrade } from "./quality/degrade.ts";
export { type ContractRegistry, type Contracts, createContractRegistry, type ReadContracts } from "./registry.ts";
export { hasSensitiveFields, sensitiveTexts, withoutSensitive, withoutTexts } from "./sensitive-fields.ts";
export { standardFiles } from "./standard-files.ts";
export { unknownFields } from "./unknown-fields.ts";
export { type ResponsePart, readUpdates, type Updates } from "./updates.ts";
export { inputKey, type Workflow, workflowName } from "./workflow.ts";
