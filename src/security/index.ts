export { AccessControl, priorityWithin } from "./access/access-control.ts";
export { accessProblems } from "./access/access-problems.ts";
export { AccessRules, type RuleInForce, unknownMethods } from "./access/access-rules.ts";
export { levelName } from "./access/level-name.ts";
export { artifactReader, isAnonymous, type Reach, type Reader, reachOf, sees } from "./access/ownership.ts";
export { type Audit, type AuditEvent, type AuditSink, noAudit } from "./audit/audit.ts";
export { AuditLog, ownPrincipal } from "./audit/audit-log.ts";
export type { OtlpAuditSink } from "./audit/audit-otlp.ts";
export type { AuditQuery } from "./audit/audit-query.ts";
export type { AuditEcho } from "./audit/audit-store.ts";
export { type AuditTally, lockoutAction } from "./audit/audit-tally.ts";
export { AuditThread } from "./audit/audit-thread.ts";
export { lineOfRecord } from "./audit/line-of-record.ts";
export { MemoryAuditStore } from "./audit/memory-audit-store.ts";
export { begunStream, NotedAudit, notePrefix, parseNote, readNotes } from "./audit/noted-audit.ts";
export { type VerifyAuditOptions, verifyAudit } from "./audit/verify-audit.ts";
export type { Authenticator, Credentials } from "./authenticator.ts";
export {
  type Bindings,
  compileCondition,
  compileExpression,
  type Expression,
  type ExpressionOptions,
} from "./cel/expression.ts";
export { ExpressionError } from "./cel/expression-error.ts";
export { CredentialsError, notAccepted } from "./credentials-error.ts";
export { createDenial, isDenial } from "./denial.ts";
export { createJwtAuthenticator, type JwtAuthenticator } from "./jwt/jwt-authenticator.ts";
export { AdminKeyFile } from "./keys/admin-key-file.ts";
export type { ApiKeyRecord } from "./keys/api-key.ts";
export { ApiKeyAuthenticator } from "./keys/api-key-authenticator.ts";
export { type ApiKeyInit, ApiKeyRefused, ApiKeys, type MadeKey } from "./keys/api-keys.ts";
export { createKey, keyPrefix, parseKey } from "./keys/key-format.ts";
export { Lockout } from "./lockout/lockout.ts";
export { StoredLockouts } from "./lockout/stored-lockouts.ts";
export { CertificateAuthenticator } from "./mtls/certificate-authenticator.ts";
export { EncryptedPayloads } from "./payloads/encrypted-payloads.ts";
export { newKeyLine, readKeyRing } from "./payloads/key-ring.ts";
export {
  type Authentication,
  anonymous,
  goesOnWhileKey,
  inProcess,
  type Principal,
  principalKey,
} from "./principal.ts";
export {
  KeyFileError,
  makePrivateFile,
  newKey,
  readExistingKeyFile,
  readKeyFile,
  readPrivateFile,
} from "./private-key-file.ts";
export { CallLimits } from "./rate-limits/call-limits.ts";
export type { RateLimits } from "./rate-limits/rate-limits.ts";
export { createTextRedactor, remembering, type TextRedactor, type TextRedactorOptions } from "./redaction/index.ts";
export { sourceOf } from "./source.ts";
