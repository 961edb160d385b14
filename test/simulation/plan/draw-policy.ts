import type { Chance } from "./chance.ts";
import type { PolicyPlan, RetryPlan } from "./policy-plan.ts";

/** Codes that handlers fail with; some are retaken by a policy, some by none. */
export const failureCodes = ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "INVALID_ARGUMENT"] as const;

export function drawPolicy(chance: Chance): PolicyPlan {
  return {
    timeoutMs: chance.happens(0.3) ? chance.around(2_000, 60_000) : chance.around(60_000, 600_000),
    ...(chance.happens(0.4) ? { attemptTimeoutMs: chance.around(500, 30_000) } : {}),
    ...(chance.happens(0.25) ? { progressTimeoutMs: chance.around(500, 20_000) } : {}),
    ...(chance.happens(0.7) ? { retry: drawRetry(chance) } : {}),
    ...(chance.happens(0.4)
      ? { concurrency: { limit: chance.between(1, 3), queueLimit: chance.oneOf([0, 1, 3, 1000]) } }
      : {}),
    callerGraceMs: chance.oneOf([0, 1_000, 10_000, 60_000]),
    cancelGraceMs: chance.oneOf([0, 1_000, 5_000, 30_000]),
    maxInterruptions: chance.oneOf([1, 2, 5]),
    failsWhenInterrupted: chance.happens(0.1),
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
  };
}
