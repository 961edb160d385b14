import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import type { SecurityConfig } from "../../gen/retake/v1/security_config_pb.js";
import {
  type ResolvedCertificateRule,
  type ResolvedJwt,
  resolveCertificateRule,
  resolveJwt,
} from "./identity-settings.ts";
import { type ResolvedInput, resolveInput } from "./input-settings.ts";
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
  readonly input: ResolvedInput;
}

export function resolveSecurity(config: SecurityConfig | undefined): ResolvedSecurity {
  return {
    anonymousLevel: config?.anonymousLevel || AccessLevel.PUBLIC,
    jwt: config?.jwt.map(resolveJwt) ?? [],
    mtls: config?.mtls.map(resolveCertificateRule) ?? [],
    rateLimits: config?.rateLimits.map(resolveRateLimit) ?? [],
    input: resolveInput(config?.input),
  };
}
