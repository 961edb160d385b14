import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import type { SecurityConfig } from "../../gen/retake/v1/security_config_pb.js";

/** A `SecurityConfig` with every default filled in. */
export interface ResolvedSecurity {
  /** What a caller over the network may do who shows no credentials. */
  readonly anonymousLevel: AccessLevel;
}

export function resolveSecurity(config: SecurityConfig | undefined): ResolvedSecurity {
  return {
    anonymousLevel: config?.anonymousLevel || AccessLevel.PUBLIC,
  };
}
