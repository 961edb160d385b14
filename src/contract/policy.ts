import type { Duration } from "@bufbuild/protobuf/wkt";
import { durationMs } from "@bufbuild/protobuf/wkt";
import type { Code } from "@connectrpc/connect";
import { Code as CodeByName } from "../../gen/google/rpc/code_pb.js";
import {
  AccessLevel,
  type AccessPolicy,
  type CircuitBreakerPolicy,
  type ConcurrencyPolicy,
  FailureCategory,
  OnInterrupt,
  OnOpen,
  Quality,
  type QualityPolicy,
  type RecoveryAction,
  type RecoveryPolicy,
  type RetentionPolicy,
  type RetryPolicy,
  type WorkflowPolicy,
} from "../../gen/retake/v1/options_pb.js";
import type { RunState } from "../../gen/retake/v1/run_pb.js";
import { mostKept } from "../most-kept.ts";

/** How a workflow is executed: a `WorkflowPolicy` with every default filled in. Durations are in milliseconds. */
export interface Policy {
  /** Absent where nobody declared it: only ADMIN may call, and everyone in development. */
  readonly access?: ResolvedAccess;
  readonly timeoutMs: number;
  /** Infinity where only the run's deadline limits an attempt. */
  readonly attemptTimeoutMs: number;
  /** Infinity where an attempt may stay silent. */
  readonly progressTimeoutMs: number;
  /** Absent where a failed attempt is not retaken. */
  readonly retry?: ResolvedRetry;
  /** Absent where there is no breaker. */
  readonly circuitBreaker?: ResolvedCircuitBreaker;
  readonly concurrency: ResolvedConcurrency;
  /** Workflows that answer in this one's place, in order. */
  readonly fallbacks: readonly string[];
  /** The names of the converters of some of them, by fallback. */
  readonly fallbackConverters: ReadonlyMap<string, string>;
  /** Absent where the quality stays FULL. */
  readonly quality?: ResolvedQuality;
  readonly recovery: readonly ResolvedRecoveryRule[];
  readonly onInterrupt: "retake" | "fail";
  readonly maxInterruptions: number;
  readonly callerGraceMs: number;
  readonly cancelGraceMs: number;
  readonly retention: ResolvedWorkflowRetention;
  /** Names of request metadata, in lower case. */
  readonly forwardMetadata: readonly string[];
  /** Where the ends of runs are posted to; absent where nobody is told. */
  readonly notify?: { readonly url: string };
}

export interface ResolvedAccess {
  readonly min: AccessLevel;
  /** The caller must be in one of them, unless it is ADMIN; none means no group is needed. */
  readonly groups: readonly string[];
  /** A CEL expression that must be true. */
  readonly condition?: string;
}

export interface ResolvedRetry {
  readonly maxAttempts: number;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly backoffMultiplier: number;
  readonly retryableCodes: ReadonlySet<Code>;
  readonly retryableCategories: ReadonlySet<FailureCategory>;
  readonly lowerQuality: boolean;
}

export interface ResolvedCircuitBreaker {
  readonly errorThresholdPercentage: number;
  readonly volumeThreshold: number;
  readonly resetTimeoutMs: number;
  readonly windowMs: number;
  readonly successThreshold: number;
  /** "by-mode" parks, but fails an attached run without a key. */
  readonly onOpen: "by-mode" | "park" | "fail";
}

export interface ResolvedConcurrency {
  /** Infinity for no limit. */
  readonly limit: number;
  readonly queueLimit: number;
  /** Infinity for no limit. */
  readonly perPrincipal: number;
}

export interface ResolvedQuality {
  readonly min: Quality;
  readonly restoreAfterMs: number;
  readonly lowerAfterFailures: number;
}

export interface ResolvedRecoveryRule {
  /** The failures it answers; all of them where the contract names none. */
  readonly categories: ReadonlySet<FailureCategory>;
  readonly action: RecoveryAction;
  readonly timeoutMs: number;
  readonly cooldownMs: number;
}

/** Absent values are the server's. */
export interface ResolvedWorkflowRetention {
  readonly succeededMs?: number;
  readonly unsuccessfulMs?: number;
  /** How many ended runs are kept, by their state; absent where any number is. */
  readonly most?: ReadonlyMap<RunState, number>;
}

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/** The defaults that options.proto promises. */
const defaults = {
  /** Long enough for a night's queue, short enough that a forgotten run does not live for ever. */
  timeoutMs: day,
  /** One stubborn deployment restarts a process two or three times; five in a row is the run's own doing. */
  maxInterruptions: 5,
  /** A caller that lost its connection comes back within its own reconnect backoff, which ends at about a minute. */
  callerGraceMs: minute,
  /** As long as orchestrators wait between SIGTERM and SIGKILL. */
  cancelGraceMs: 30 * second,
  retry: {
    maxAttempts: 3,
    initialBackoffMs: second,
    maxBackoffMs: minute,
    backoffMultiplier: 2,
    /** The one code that says "try again" by definition. */
    codes: ["UNAVAILABLE"],
  },
  circuitBreaker: {
    errorThresholdPercentage: 50,
    /** Below this a share says nothing. */
    volumeThreshold: 5,
    resetTimeoutMs: 30 * second,
    windowMs: minute,
    /** Attempts are counted when they end: a window shorter than a few of them would always be empty. */
    windowAttempts: 3,
    longestWindowMs: day,
    successThreshold: 1,
  },
  /** What a server holds without noticing: a parked run costs half a kilobyte. */
  queueLimit: 10_000,
  quality: { restoreAfterMs: 5 * minute, lowerAfterFailures: 3 },
  recovery: { timeoutMs: 30 * second, cooldownMs: minute },
} as const;

/** Fills in the defaults of options.proto. The policy must have passed its rules. */
export function resolvePolicy(policy: WorkflowPolicy): Policy {
  const attemptTimeoutMs = msOr(policy.attemptTimeout, Number.POSITIVE_INFINITY);
  return {
    ...(policy.access && { access: resolveAccess(policy.access) }),
    timeoutMs: msOr(policy.timeout, defaults.timeoutMs),
    attemptTimeoutMs,
    progressTimeoutMs: msOr(policy.progressTimeout, Number.POSITIVE_INFINITY),
    ...(policy.retry && { retry: resolveRetry(policy.retry) }),
    ...(policy.circuitBreaker && { circuitBreaker: resolveCircuitBreaker(policy.circuitBreaker, attemptTimeoutMs) }),
    concurrency: resolveConcurrency(policy.concurrency),
    fallbacks: [...policy.fallbacks],
    fallbackConverters: new Map(Object.entries(policy.fallbackConverters).filter(([, name]) => name !== "")),
    ...(policy.quality && { quality: resolveQuality(policy.quality) }),
    recovery: resolveRecovery(policy.recovery),
    onInterrupt: policy.onInterrupt === OnInterrupt.FAIL ? "fail" : "retake",
    maxInterruptions: policy.maxInterruptions ?? defaults.maxInterruptions,
    callerGraceMs: msOr(policy.callerGrace, defaults.callerGraceMs),
    cancelGraceMs: msOr(policy.cancelGrace, defaults.cancelGraceMs),
    retention: resolveRetention(policy.retention),
    forwardMetadata: [...policy.forwardMetadata],
    ...(policy.notify?.url && { notify: { url: policy.notify.url } }),
  };
}

/** Who may call, with its defaults. */
export function resolveAccess(access: AccessPolicy): ResolvedAccess {
  return {
    min: access.min === AccessLevel.UNSPECIFIED ? AccessLevel.ADMIN : access.min,
    groups: [...access.groups],
    ...(access.condition !== "" && { condition: access.condition }),
  };
}

function resolveRetry(retry: RetryPolicy): ResolvedRetry {
  const codes = retry.retryableStatusCodes.length > 0 ? retry.retryableStatusCodes : defaults.retry.codes;
  return {
    maxAttempts: retry.maxAttempts ?? defaults.retry.maxAttempts,
    initialBackoffMs: msOr(retry.initialBackoff, defaults.retry.initialBackoffMs),
    maxBackoffMs: msOr(retry.maxBackoff, defaults.retry.maxBackoffMs),
    backoffMultiplier: retry.backoffMultiplier ?? defaults.retry.backoffMultiplier,
    retryableCodes: new Set(codes.map(codeByName)),
    retryableCategories: new Set(retry.retryableCategories),
    lowerQuality: retry.lowerQuality,
  };
}

/** Connect's codes are gRPC's, number by number. */
function codeByName(name: string): Code {
  return CodeByName[name as keyof typeof CodeByName] as number as Code;
}

function resolveCircuitBreaker(breaker: CircuitBreakerPolicy, attemptTimeoutMs: number): ResolvedCircuitBreaker {
  const own = defaults.circuitBreaker;
  const attemptsMs = Number.isFinite(attemptTimeoutMs) ? own.windowAttempts * attemptTimeoutMs : 0;
  return {
    errorThresholdPercentage: breaker.errorThresholdPercentage ?? own.errorThresholdPercentage,
    volumeThreshold: breaker.volumeThreshold ?? own.volumeThreshold,
    resetTimeoutMs: msOr(breaker.resetTimeout, own.resetTimeoutMs),
    windowMs: msOr(breaker.window, Math.min(Math.max(own.windowMs, attemptsMs), own.longestWindowMs)),
    successThreshold: breaker.successThreshold ?? own.successThreshold,
    onOpen: breaker.onOpen === OnOpen.PARK ? "park" : breaker.onOpen === OnOpen.FAIL ? "fail" : "by-mode",
  };
}

function resolveConcurrency(concurrency: ConcurrencyPolicy | undefined): ResolvedConcurrency {
  return {
    limit: concurrency?.limit ?? Number.POSITIVE_INFINITY,
    queueLimit: concurrency?.queueLimit ?? defaults.queueLimit,
    perPrincipal: concurrency?.perPrincipal ?? Number.POSITIVE_INFINITY,
  };
}

/** What holds where no policy says how the quality goes down and comes back. */
export const defaultQuality: ResolvedQuality = { min: Quality.MINIMAL, ...defaults.quality };

function resolveQuality(quality: QualityPolicy): ResolvedQuality {
  return {
    min: quality.min === Quality.UNSPECIFIED ? Quality.MINIMAL : quality.min,
    restoreAfterMs: msOr(quality.restoreAfter, defaults.quality.restoreAfterMs),
    lowerAfterFailures: quality.lowerAfterFailures ?? defaults.quality.lowerAfterFailures,
  };
}

const everyCategory = [
  FailureCategory.NETWORK,
  FailureCategory.MEMORY,
  FailureCategory.VALIDATION,
  FailureCategory.MODEL,
  FailureCategory.WORKFLOW,
  FailureCategory.SYSTEM,
  FailureCategory.UNKNOWN,
];

function resolveRecovery(recovery: RecoveryPolicy | undefined): readonly ResolvedRecoveryRule[] {
  return (recovery?.rules ?? []).map((rule) => ({
    categories: new Set(rule.categories.length > 0 ? rule.categories : everyCategory),
    action: rule.action,
    timeoutMs: msOr(rule.timeout, defaults.recovery.timeoutMs),
    cooldownMs: msOr(rule.cooldown, defaults.recovery.cooldownMs),
  }));
}

function resolveRetention(retention: RetentionPolicy | undefined): ResolvedWorkflowRetention {
  return {
    ...(retention?.succeeded && { succeededMs: durationMs(retention.succeeded) }),
    ...(retention?.unsuccessful && { unsuccessfulMs: durationMs(retention.unsuccessful) }),
    ...mostKept(retention),
  };
}

function msOr(duration: Duration | undefined, fallbackMs: number): number {
  return duration === undefined ? fallbackMs : durationMs(duration);
}
