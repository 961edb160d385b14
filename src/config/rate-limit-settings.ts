import { durationMs } from "@bufbuild/protobuf/wkt";
import type { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { type RateLimit, RateLimitScope } from "../../gen/retake/v1/rate_limit_config_pb.js";

/** A limit on calls. */
export interface ResolvedRateLimit {
  /** Its key in the configuration, for callers who meet it. */
  readonly field: string;
  readonly perPrincipal: boolean;
  readonly perSource: boolean;
  readonly perWorkflow: boolean;
  readonly limit: number;
  readonly windowMs: number;
  readonly burst: number;
  /** Absent for callers of all levels. */
  readonly levels?: readonly AccessLevel[];
  /** Absent for all calls. */
  readonly workflows?: readonly string[];
}

const defaultWindowMs = 1000;

export function resolveRateLimit(rule: RateLimit, index: number): ResolvedRateLimit {
  const { scope, limit, window, burst, levels, workflows } = rule;
  return {
    field: `security.rate_limits[${index}]`,
    perPrincipal: scope.includes(RateLimitScope.PRINCIPAL),
    perSource: scope.includes(RateLimitScope.SOURCE),
    perWorkflow: scope.includes(RateLimitScope.WORKFLOW),
    limit,
    windowMs: window === undefined ? defaultWindowMs : durationMs(window),
    burst: burst ?? limit,
    ...(levels.length > 0 && { levels: [...levels] }),
    ...(workflows.length > 0 && { workflows: [...workflows] }),
  };
}
