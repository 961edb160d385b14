import { clone, create, type DescField, type DescMessage, type MessageShape, ScalarType } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { DurationSchema, durationFromMs } from "@bufbuild/protobuf/wkt";
import { ApiKeyConfigSchema, LockoutConfigSchema } from "../../gen/retake/v1/api_key_config_pb.js";
import {
  AuditConfigSchema,
  AuditFailureMode,
  AuditRetentionSchema,
  PersonalData,
  RedactionConfigSchema,
} from "../../gen/retake/v1/audit_config_pb.js";
import {
  ArtifactConfigSchema,
  type BackendConfig,
  ClientCertificate,
  EndpointConfigSchema,
  GrpcConfigSchema,
  GrpcLimitsSchema,
  HealthCheckConfigSchema,
  LogConfigSchema,
  OutlierDetectionConfigSchema,
  OverloadConfigSchema,
  RetryBudgetConfigSchema,
  RunsConfigSchema,
  type ServerConfig,
  ServerConfigSchema,
  type TlsConfig,
  TlsConfigSchema,
  WebConfigSchema,
  WebhooksConfigSchema,
  WebLimitsSchema,
} from "../../gen/retake/v1/config_pb.js";
import { JwtConfigSchema } from "../../gen/retake/v1/identity_config_pb.js";
import { InputConfigSchema } from "../../gen/retake/v1/input_config_pb.js";
import {
  MonitoringConfigSchema,
  SeriesConfigSchema,
  TelemetryConfigSchema,
} from "../../gen/retake/v1/monitoring_config_pb.js";
import {
  EmailNotifierSchema,
  EmailSecurity,
  type NotifierConfig,
  NotifierConfigSchema,
  PagerDutyNotifierSchema,
} from "../../gen/retake/v1/notifier_config_pb.js";
import { RetentionPolicySchema } from "../../gen/retake/v1/options_pb.js";
import { RateLimitSchema } from "../../gen/retake/v1/rate_limit_config_pb.js";
import { ForwardedHeader, type SecurityConfig, SecurityConfigSchema } from "../../gen/retake/v1/security_config_pb.js";
import type { ResolvedNotifier } from "./notifier-settings.ts";
import { resolveConfig } from "./resolve-config.ts";
import type { ResolvedSecurity } from "./security-settings.ts";
import { inProcessTarget, type ResolvedBackend, type ResolvedTls } from "./settings.ts";

const megabyte = 1024 * 1024;

/**
 * The same configuration, with every default that has a value written out: it resolves to the same. Policies of workflows,
 * rules of alerts and drills are as they were given; what they leave out is elsewhere.
 *
 * @throws ConfigError
 */
export function effectiveConfig(given: ServerConfig): ServerConfig {
  const resolved = resolveConfig(given);
  const { grpc, web, overload, telemetry, monitoring } = resolved;
  const config = filled(ServerConfigSchema, clone(ServerConfigSchema, given), resolved);
  if (grpc !== undefined) {
    config.grpc = filled(GrpcConfigSchema, config.grpc, grpc);
    config.grpc.limits = filled(GrpcLimitsSchema, config.grpc.limits, grpc.limits);
    fillTls(config.grpc.tls, grpc.tls);
  }
  if (web !== undefined) {
    config.web = filled(WebConfigSchema, config.web, web);
    config.web.limits = filled(WebLimitsSchema, config.web.limits, web.limits);
    fillTls(config.web.tls, web.tls);
  }
  for (const [index, backend] of config.backends.entries()) fillBackend(backend, resolved.backends[index]);
  config.retention = filled(RetentionPolicySchema, config.retention, resolved.retention);
  config.log = filled(LogConfigSchema, config.log, resolved.log);
  const { content, ...artifacts } = resolved.artifacts;
  config.artifacts = filled(ArtifactConfigSchema, config.artifacts, { ...artifacts, ...content });
  config.runs = filled(RunsConfigSchema, config.runs, resolved.runs);
  config.webhooks = filled(WebhooksConfigSchema, config.webhooks, resolved.webhooks);
  if (overload !== undefined) {
    const memoryPercentage = Math.round(overload.memoryShare * 100);
    config.overload = filled(OverloadConfigSchema, config.overload, { ...overload, memoryPercentage });
  }
  config.security = filled(SecurityConfigSchema, config.security, resolved.security);
  fillSecurity(config.security, resolved.security);
  if (telemetry !== undefined) config.telemetry = filled(TelemetryConfigSchema, config.telemetry, telemetry);
  if (monitoring !== undefined) {
    config.monitoring = filled(MonitoringConfigSchema, config.monitoring, monitoring);
    config.monitoring.series = filled(SeriesConfigSchema, config.monitoring.series, monitoring.series);
    for (const [index, each] of config.monitoring.notifiers.entries()) {
      fillNotifier(each, monitoring.notifiers[index]);
    }
  }
  return config;
}

function fillTls(tls: TlsConfig | undefined, resolved: ResolvedTls | undefined): void {
  if (tls === undefined || resolved?.clientCaFile === undefined) return;
  const clientCertificate = resolved.clientCertificateOptional
    ? ClientCertificate.OPTIONAL
    : ClientCertificate.REQUIRED;
  filled(TlsConfigSchema, tls, { clientCertificate });
}

function fillBackend(backend: BackendConfig, resolved: ResolvedBackend | undefined): void {
  const { outlierDetection: outliers, retryBudget } = resolved ?? {};
  for (const [index, endpoint] of backend.endpoints.entries()) {
    const settings = resolved?.endpoints[index];
    if (settings === undefined || endpoint.target === inProcessTarget) continue;
    filled(EndpointConfigSchema, endpoint, settings);
    if (settings.healthCheck === undefined) continue;
    endpoint.healthCheck = filled(HealthCheckConfigSchema, endpoint.healthCheck, settings.healthCheck);
  }
  if (outliers !== undefined) {
    backend.outlierDetection = filled(OutlierDetectionConfigSchema, backend.outlierDetection, {
      ...outliers,
      baseEjectionTimeMs: outliers.baseEjectionMs,
      maxEjectionTimeMs: outliers.maxEjectionMs,
    });
  }
  if (retryBudget !== undefined) {
    backend.retryBudget = filled(RetryBudgetConfigSchema, backend.retryBudget, retryBudget);
  }
}

const personalData = {
  keep: PersonalData.KEEP,
  pseudonymize: PersonalData.PSEUDONYMIZE,
  redact: PersonalData.REDACT,
};

function fillSecurity(security: SecurityConfig, resolved: ResolvedSecurity): void {
  const { apiKeys, lockout, audit } = resolved;
  if (apiKeys !== undefined) security.apiKeys = filled(ApiKeyConfigSchema, security.apiKeys, apiKeys);
  if (lockout !== undefined) security.lockout = filled(LockoutConfigSchema, security.lockout, lockout);
  for (const [index, jwt] of security.jwt.entries()) filled(JwtConfigSchema, jwt, resolved.jwt[index] ?? {});
  for (const [index, limit] of security.rateLimits.entries()) {
    filled(RateLimitSchema, limit, resolved.rateLimits[index] ?? {});
  }
  security.forwardedHeader ||= ForwardedHeader.X_FORWARDED_FOR;
  if (audit !== undefined) {
    const onFailure = audit.refuseOnFailure ? AuditFailureMode.REFUSE : AuditFailureMode.CONTINUE;
    security.audit = filled(AuditConfigSchema, security.audit, { ...audit, onFailure });
    security.audit.retention = filled(AuditRetentionSchema, security.audit.retention, {
      maxAgeMs: audit.maxAgeMs,
      maxMegabytes: audit.maxBytes / megabyte,
      fileMegabytes: audit.fileBytes / megabyte,
    });
  }
  security.redaction = filled(RedactionConfigSchema, security.redaction, {
    personalData: personalData[resolved.redaction.personalData],
  });
  const { unknownFields, binary } = resolved.input;
  const input = { unknownFields, maxNesting: binary.recursionLimit };
  security.input = filled(InputConfigSchema, security.input, input);
}

const emailSecurity = { starttls: EmailSecurity.STARTTLS, tls: EmailSecurity.TLS, none: EmailSecurity.NONE };

function fillNotifier(notifier: NotifierConfig, resolved: ResolvedNotifier | undefined): void {
  if (resolved === undefined) return;
  filled(NotifierConfigSchema, notifier, resolved);
  const { kind } = notifier;
  const { what } = resolved;
  if (kind.case === "pagerduty") filled(PagerDutyNotifierSchema, kind.value, what);
  if (kind.case === "email" && what.kind === "email") {
    filled(EmailNotifierSchema, kind.value, { ...what, security: emailSecurity[what.security] });
  }
}

/** Sets what is not set, where there is a value of its name; those of durations are in milliseconds. */
function filled<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc> | undefined,
  values: object,
): MessageShape<Desc> {
  const result = message ?? create(schema);
  const open = reflect(schema, result);
  for (const field of schema.fields) {
    if (open.isSet(field)) continue;
    const value = valueFor(field, values as Readonly<Record<string, unknown>>);
    if (value !== undefined) open.set(field, value);
  }
  return result;
}

function valueFor(field: DescField, values: Readonly<Record<string, unknown>>): unknown {
  if (field.message?.typeName === DurationSchema.typeName && field.fieldKind === "message") {
    const ms = values[`${field.localName}Ms`];
    return typeof ms === "number" ? reflect(DurationSchema, durationFromMs(ms)) : undefined;
  }
  const value = values[field.localName];
  if (field.fieldKind === "enum") return typeof value === "number" ? value : undefined;
  // No limit is no number.
  if (field.fieldKind !== "scalar" || value === Number.POSITIVE_INFINITY || typeof value === "object") return undefined;
  return field.scalar === ScalarType.INT64 && typeof value === "number" ? BigInt(value) : value;
}
