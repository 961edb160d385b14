import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServerConfigSchema } from "../../../gen/retake/v1/config_pb.js";
import {
  AccessLevel,
  FailureCategory,
  OnInterrupt,
  OnOpen,
  RecoveryAction,
  type WorkflowPolicySchema,
} from "../../../gen/retake/v1/options_pb.js";
import { durationFromMs } from "../../../src/runs/time.ts";
import { SimulatedService } from "../../gen/retake/test/simulation/v1/simulated_pb.js";
import { type MethodName, methodNames, type Plan, type RemotesPlan, slotsOf } from "../plan/plan.ts";
import type { BreakerPlan, PolicyPlan, QualityPlan, RecoveryRulePlan } from "../plan/policy-plan.ts";

/** The configuration that a plan means. */
export function configOf({ server, policies }: Plan): MessageInitShape<typeof ServerConfigSchema> {
  const { retryBudget, remotes } = server;
  return {
    grpc: { disabled: true },
    web: { disabled: true },
    // Its modules are loaded in real time, which virtual time does not wait for.
    telemetry: { disabled: true },
    concurrencyLimit: server.concurrencyLimit,
    workflows: Object.fromEntries(methodNames.map((name) => [workflowOf(name), policyConfig(policies[name])])),
    backends: [
      {
        service: SimulatedService.typeName,
        endpoints: [...slotsOf(server)].map(([target, slots]) => ({
          target,
          slots,
          ...(target === "in-process" || remotes === undefined ? {} : { healthCheck: healthCheckConfig(remotes) }),
        })),
        outlierDetection: outliersConfig(remotes),
        ...(retryBudget === undefined
          ? {}
          : {
              retryBudget: {
                maxTokens: retryBudget.maxTokens,
                tokenRatio: retryBudget.tokenRatio,
                tokenInterval: durationFromMs(retryBudget.tokenIntervalMs),
              },
            }),
      },
    ],
  };
}

function healthCheckConfig({ healthIntervalMs, healthTimeoutMs }: RemotesPlan) {
  return { interval: durationFromMs(healthIntervalMs), timeout: durationFromMs(healthTimeoutMs) };
}

function outliersConfig(remotes: RemotesPlan | undefined) {
  if (remotes?.outliers === undefined) {
    return { disabled: true };
  }
  const { consecutiveFailures, maxEjectionPercent, baseEjectionMs, maxEjectionMs } = remotes.outliers;
  return {
    consecutiveFailures,
    maxEjectionPercent,
    baseEjectionTime: durationFromMs(baseEjectionMs),
    maxEjectionTime: durationFromMs(Math.max(baseEjectionMs, maxEjectionMs)),
  };
}

/** The name of the workflow that a method is. */
export function workflowOf(method: MethodName): string {
  return `${SimulatedService.typeName}/${SimulatedService.method[method].name}`;
}

function policyConfig(policy: PolicyPlan): MessageInitShape<typeof WorkflowPolicySchema> {
  const {
    attemptTimeoutMs,
    progressTimeoutMs,
    retry,
    concurrency,
    breaker,
    fallbacks = [],
    quality,
    recovery,
  } = policy;
  return {
    access: { min: AccessLevel.AUTHENTICATED },
    timeout: durationFromMs(policy.timeoutMs),
    ...(attemptTimeoutMs === undefined ? {} : { attemptTimeout: durationFromMs(attemptTimeoutMs) }),
    ...(progressTimeoutMs === undefined ? {} : { progressTimeout: durationFromMs(progressTimeoutMs) }),
    ...(retry === undefined
      ? {}
      : {
          retry: {
            maxAttempts: retry.maxAttempts,
            initialBackoff: durationFromMs(retry.initialBackoffMs),
            maxBackoff: durationFromMs(retry.maxBackoffMs),
            backoffMultiplier: retry.backoffMultiplier,
            retryableStatusCodes: [...retry.codes],
            lowerQuality: retry.lowersQuality,
          },
        }),
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(breaker === undefined ? {} : { circuitBreaker: breakerConfig(breaker) }),
    fallbacks: fallbacks.map(workflowOf),
    ...(quality === undefined ? {} : { quality: qualityConfig(quality) }),
    ...(recovery === undefined ? {} : { recovery: { rules: recovery.map(ruleConfig) } }),
    callerGrace: durationFromMs(policy.callerGraceMs),
    cancelGrace: durationFromMs(policy.cancelGraceMs),
    maxInterruptions: policy.maxInterruptions,
    onInterrupt: policy.failsWhenInterrupted ? OnInterrupt.FAIL : OnInterrupt.RETAKE,
  };
}

const onOpens = { "by mode": OnOpen.UNSPECIFIED, park: OnOpen.PARK, fail: OnOpen.FAIL } as const;

function breakerConfig({ resetTimeoutMs, windowMs, onOpen, ...thresholds }: BreakerPlan) {
  return {
    ...thresholds,
    resetTimeout: durationFromMs(resetTimeoutMs),
    window: durationFromMs(windowMs),
    onOpen: onOpens[onOpen],
  };
}

function qualityConfig({ min, restoreAfterMs, lowerAfterFailures }: QualityPlan) {
  return { min, restoreAfter: durationFromMs(restoreAfterMs), lowerAfterFailures };
}

function ruleConfig({ action, isForMemory, timeoutMs, cooldownMs }: RecoveryRulePlan) {
  return {
    action: RecoveryAction[action],
    categories: isForMemory ? [FailureCategory.MEMORY] : [],
    timeout: durationFromMs(timeoutMs),
    cooldown: durationFromMs(cooldownMs),
  };
}
