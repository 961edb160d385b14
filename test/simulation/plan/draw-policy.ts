import type { Chance } from "./chance.ts";
import { type MethodName, methodNames } from "./plan.ts";
import {
  actionNames,
  type BreakerPlan,
  type ConcurrencyPlan,
  endpointActionNames,
  type PolicyPlan,
  type QualityPlan,
  type RecoveryRulePlan,
  type RetryPlan,
} from "./policy-plan.ts";

/** Codes that handlers fail with; some are retaken by a policy, some by none. */
export const failureCodes = ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "INVALID_ARGUMENT"] as const;

export function drawPolicy(chance: Chance, method: MethodName): PolicyPlan {
  const fallbacks = drawFallbacks(chance, method);
  return {
    timeoutMs: chance.happens(0.3) ? chance.around(2_000, 60_000) : chance.around(60_000, 600_000),
    ...(chance.happens(0.4) ? { attemptTimeoutMs: chance.around(500, 30_000) } : {}),
    ...(chance.happens(0.25) ? { progressTimeoutMs: chance.around(500, 20_000) } : {}),
    ...(chance.happens(0.7) ? { retry: drawRetry(chance) } : {}),
    ...(chance.happens(0.4) ? { concurrency: drawConcurrency(chance) } : {}),
    ...(chance.happens(0.35) ? { breaker: drawBreaker(chance) } : {}),
    ...(fallbacks.length > 0 ? { fallbacks } : {}),
    ...(chance.happens(0.3) ? { quality: drawQuality(chance) } : {}),
    ...(chance.happens(0.3) ? { recovery: drawRecovery(chance) } : {}),
    callerGraceMs: chance.oneOf([0, 1_000, 10_000, 60_000]),
    cancelGraceMs: chance.oneOf([0, 1_000, 5_000, 30_000]),
    maxInterruptions: chance.oneOf([1, 2, 5]),
    failsWhenInterrupted: chance.happens(0.1),
  };
}

function drawConcurrency(chance: Chance): ConcurrencyPlan {
  const limit = chance.between(1, 3);
  return {
    limit,
    queueLimit: chance.oneOf([0, 1, 3, 1000]),
    ...(chance.happens(0.5) ? { perPrincipal: chance.between(1, limit) } : {}),
  };
}

function drawRetry(chance: Chance): RetryPlan {
  const initialBackoffMs = chance.around(10, 10_000);
  return {
    maxAttempts: chance.between(1, 5),
    initialBackoffMs,
    maxBackoffMs: initialBackoffMs * chance.between(1, 5),
    backoffMultiplier: chance.between(1, 3),
    codes: [chance.oneOf(failureCodes), "UNAVAILABLE"].filter((code, index, codes) => codes.indexOf(code) === index),
    lowersQuality: chance.happens(0.3),
  };
}

function drawBreaker(chance: Chance): BreakerPlan {
  return {
    errorThresholdPercentage: chance.oneOf([1, 40, 70]),
    volumeThreshold: chance.between(1, 3),
    resetTimeoutMs: chance.around(200, 40_000),
    windowMs: chance.around(10_000, 120_000),
    successThreshold: chance.happens(0.3) ? 2 : 1,
    onOpen: chance.oneOf(["by mode", "by mode", "park", "park", "fail"]),
  };
}

function drawFallbacks(chance: Chance, method: MethodName): MethodName[] {
  const later = methodNames.slice(methodNames.indexOf(method) + 1);
  const chosen = later.filter(() => chance.happens(0.25));
  return chance.happens(0.5) ? chosen : chosen.reverse();
}

function drawQuality(chance: Chance): QualityPlan {
  return {
    min: chance.between(1, 4),
    restoreAfterMs: chance.around(2_000, 60_000),
    lowerAfterFailures: chance.between(1, 3),
  };
}

function drawRecovery(chance: Chance): RecoveryRulePlan[] {
  const actions = [...endpointActionNames, ...actionNames].filter(() => chance.happens(0.5));
  return (chance.happens(0.5) ? actions : actions.reverse()).map((action) => ({
    action,
    isForMemory: chance.happens(0.2),
    timeoutMs: chance.around(100, 10_000),
    cooldownMs: chance.happens(0.5) ? 0 : chance.around(100, 60_000),
  }));
}
