export type { ResolvedAudit, ResolvedPayloadEncryption, ResolvedRedaction } from "./audit-settings.ts";
export { ConfigError, type ConfigProblem } from "./config-error.ts";
export { withPlaces } from "./config-places.ts";
export { effectiveConfig } from "./effective-config.ts";
export type { ResolvedCertificateRule, ResolvedIdentity, ResolvedJwt } from "./identity-settings.ts";
export type { ResolvedInput } from "./input-settings.ts";
export { type JsonProblem, jsonProblems } from "./json-problems.ts";
export { loadConfig, parseConfig, parseYaml } from "./load-config.ts";
export {
  defaultSpansPerSecond,
  type ResolvedAlerting,
  type ResolvedMonitoring,
  type ResolvedSlo,
  type ResolvedTelemetry,
} from "./monitoring-settings.ts";
export type {
  ResolvedBasicCredentials,
  ResolvedNotifier,
  ResolvedNotifierKind,
  ResolvedNotifierSecret,
  ResolvedRoute,
} from "./notifier-settings.ts";
export type { ResolvedProxies } from "./proxy-settings.ts";
export type { ResolvedRateLimit } from "./rate-limit-settings.ts";
export { resolveConfig } from "./resolve-config.ts";
export type { ResolvedSecurity } from "./security-settings.ts";
export {
  inProcessTarget,
  type LogFormat,
  type LogLevel,
  type ResolvedBackend,
  type ResolvedBackendTls,
  type ResolvedConfig,
  type ResolvedEndpoint,
  type ResolvedHealthCheck,
  type ResolvedOutlierDetection,
  type ResolvedRetryBudget,
  type ResolvedSecretSource,
  type ResolvedTls,
  type ResolvedWebhooks,
} from "./settings.ts";
