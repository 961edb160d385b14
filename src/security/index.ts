export { type Audit, type AuditEvent, noAudit } from "./audit/audit.ts";
export type { Authenticator, Credentials } from "./authenticator.ts";
export { type Authentication, anonymous, inProcess, type Principal, principalKey } from "./principal.ts";
