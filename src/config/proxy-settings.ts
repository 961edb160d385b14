import { ForwardedHeader, type SecurityConfig } from "../../gen/retake/v1/security_config_pb.js";

/** Whose word counts about where calls come from. */
export interface ResolvedProxies {
  /** Addresses, and networks like "10.0.0.0/8". */
  readonly trusted: readonly string[];
  /** Absent where no header tells it. */
  readonly header?: "x-forwarded-for" | "forwarded";
}

/** Undefined where no proxy is trusted. */
export function resolveProxies(config: SecurityConfig | undefined): ResolvedProxies | undefined {
  if (config === undefined || config.trustedProxies.length === 0) return undefined;
  const header = headerOf(config.forwardedHeader);
  return { trusted: [...config.trustedProxies], ...(header && { header }) };
}

function headerOf(header: ForwardedHeader): ResolvedProxies["header"] {
  switch (header) {
    case ForwardedHeader.NONE:
      return undefined;
    case ForwardedHeader.FORWARDED:
      return "forwarded";
    default:
      return "x-forwarded-for";
  }
}
