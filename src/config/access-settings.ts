import type { AccessConfig, AccessRule } from "../../gen/retake/v1/access_rule_pb.js";

/** An `AccessConfig` with every default filled in. */
export interface ResolvedAccessConfig {
  /** By name. */
  readonly rules: Readonly<Record<string, AccessRule>>;
}

export function resolveAccessConfig(config: AccessConfig | undefined): ResolvedAccessConfig {
  return { rules: config?.rules ?? {} };
}
