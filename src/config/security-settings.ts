import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import type { SecurityConfig } from "../../gen/retake/v1/security_config_pb.js";
import { type ResolvedAccessConfig, resolveAccessConfig } from "./access-settings.ts";
import { type ResolvedApiKeys, resolveApiKeys } from "./api-key-settings.ts";
import {
  type ResolvedAudit,
  type ResolvedPayloadEncryption,
  type ResolvedRedaction,
  resolveAudit,
  resolvePayloadEncryption,
  resolveRedaction,
} from "./audit-settings.ts";
import {
  type ResolvedCertificateRule,
  type ResolvedJwt,
  resolveCertificateRule,
  resolveJwt,
} from "./identity-settings.ts";
import { type ResolvedInput, resolveInput } from "./input-settings.ts";
import { type ResolvedLockout, resolveLockout } from "./lockout-settings.ts";
import { type ResolvedProxies, resolveProxies } from "./proxy-settings.ts";
import { type ResolvedRateLimit, resolveRateLimit } from "./rate-limit-settings.ts";

/** A `SecurityConfig` with every default filled in. */
export interface ResolvedSecurity {
  /** What a caller over the network may do who shows no credentials. */
  readonly anonymousLevel: AccessLevel;
  /** Whose tokens are taken. */
  readonly jwt: readonly ResolvedJwt[];
  /** Who is behind a client's certificate: the first rule that is for it tells. */
  readonly mtls: readonly ResolvedCertificateRule[];
  /** How often callers may call. */
  readonly rateLimits: readonly ResolvedRateLimit[];
  /** Absent where the server takes no API keys. */
  readonly apiKeys: ResolvedApiKeys | undefined;
  /** Absent where nobody is locked out. */
  readonly lockout: ResolvedLockout | undefined;
  /** Whether ports that other machines reach may do without TLS. */
  readonly allowPlaintext: boolean;
  readonly access: ResolvedAccessConfig;
  /** Absent where no audit log is kept. */
  readonly audit?: ResolvedAudit;
  readonly redaction: ResolvedRedaction;
  readonly payloadEncryption: ResolvedPayloadEncryption;
  readonly input: ResolvedInput;
  /** Absent where nobody's word counts about where calls come from. */
  readonly proxies?: ResolvedProxies;
}

export function resolveSecurity(config: SecurityConfig | undefined): ResolvedSecurity {
  const audit = resolveAudit(config?.audit);
  const proxies = resolveProxies(config);
  return {
    anonymousLevel: config?.anonymousLevel || AccessLevel.PUBLIC,
    jwt: config?.jwt.map(resolveJwt) ?? [],
    mtls: config?.mtls.map(resolveCertificateRule) ?? [],
    rateLimits: config?.rateLimits.map(resolveRateLimit) ?? [],
    apiKeys: resolveApiKeys(config?.apiKeys),
    lockout: resolveLockout(config?.lockout),
    allowPlaintext: config?.allowPlaintext ?? false,
    access: resolveAccessConfig(config?.access),
    ...(audit === undefined ? {} : { audit }),
    redaction: resolveRedaction(config?.redaction),
    payloadEncryption: resolvePayloadEncryption(config?.payloadEncryption),
    input: resolveInput(config?.input),
    ...(proxies && { proxies }),
  };
}
