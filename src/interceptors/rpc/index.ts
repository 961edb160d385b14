export { type AuditedChange, auditCalls } from "./audit-calls.ts";
export { auditDenials } from "./audit-denials.ts";
export { authenticate } from "./authenticate.ts";
export { authorize } from "./authorize.ts";
export { endWithCredentials } from "./end-with-credentials.ts";
export { errors } from "./errors.ts";
export { limitRates } from "./rate-limit.ts";
export {
  CallMetrics,
  type CallSpan,
  type CallSpans,
  countRefusedCall,
  countUnknownCall,
  type EndedCall,
  type RefusedCall,
  type RpcSystem,
  telemetry,
  webSystem,
} from "./telemetry.ts";
export { assertKnownFields, refuseUnknownFields } from "./unknown-fields.ts";
export { createRequestValidator, type RequestValidator, validateRequests } from "./validate.ts";
