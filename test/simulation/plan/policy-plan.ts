import type { MethodName } from "./plan.ts";

/** The policy of a workflow. Absent fields have their default. */
export interface PolicyPlan {
  readonly timeoutMs: number;
  readonly attemptTimeoutMs?: number;
  readonly progressTimeoutMs?: number;
  readonly retry?: RetryPlan;
  readonly concurrency?: ConcurrencyPlan;
  readonly breaker?: BreakerPlan;
  /** They stand later among the methods, so that none leads back. */
  readonly fallbacks?: readonly MethodName[];
  readonly quality?: QualityPlan;
  /** In the order in which they are tried. */
  readonly recovery?: readonly RecoveryRulePlan[];
  readonly callerGraceMs: number;
  readonly cancelGraceMs: number;
  readonly maxInterruptions: number;
  readonly failsWhenInterrupted: boolean;
}

export interface ConcurrencyPlan {
  readonly limit: number;
  readonly queueLimit: number;
  /** Absent for as many as the limit allows. */
  readonly perPrincipal?: number;
}

export interface RetryPlan {
  readonly maxAttempts: number;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly backoffMultiplier: number;
  readonly codes: readonly string[];
  readonly lowersQuality: boolean;
}

export interface BreakerPlan {
  readonly errorThresholdPercentage: number;
  readonly volumeThreshold: number;
  readonly resetTimeoutMs: number;
  readonly windowMs: number;
  readonly successThreshold: number;
  readonly onOpen: "by mode" | "park" | "fail";
}

/** Levels from 1 (MINIMAL) to 5 (FULL). */
export interface QualityPlan {
  readonly min: number;
  readonly restoreAfterMs: number;
  readonly lowerAfterFailures: number;
}

/** What back-ends do themselves. */
export const actionNames = ["FREE_MEMORY", "INTERRUPT", "RELOAD_MODEL", "RESTART"] as const;
export type ActionName = (typeof actionNames)[number];

/** What is done about endpoints elsewhere. */
export const endpointActionNames = ["RECONNECT", "SWITCH_ENDPOINT"] as const;
export type EndpointActionName = (typeof endpointActionNames)[number];

export interface RecoveryRulePlan {
  readonly action: ActionName | EndpointActionName;
  /** Done for attempts that ran out of memory, and no others. */
  readonly isForMemory: boolean;
  readonly timeoutMs: number;
  readonly cooldownMs: number;
}
