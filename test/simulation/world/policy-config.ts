import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServerConfigSchema } from "../../../gen/retake/v1/config_pb.js";
import { OnInterrupt, type WorkflowPolicySchema } from "../../../gen/retake/v1/options_pb.js";
import { durationFromMs } from "../../../src/runs/time.ts";
import { SimulatedService } from "../../gen/retake/test/simulation/v1/simulated_pb.js";
import { type MethodName, methodNames, type Plan } from "../plan/plan.ts";
import type { PolicyPlan } from "../plan/policy-plan.ts";

/** The configuration that a plan means. */
export function configOf({ server, policies }: Plan): MessageInitShape<typeof ServerConfigSchema> {
  return {
    grpc: { disabled: true },
    web: { disabled: true },
    concurrencyLimit: server.concurrencyLimit,
    workflows: Object.fromEntries(methodNames.map((name) => [workflowOf(name), policyConfig(policies[name])])),
    backends: [{ service: SimulatedService.typeName, endpoints: [{ target: "in-process", slots: server.slots }] }],
  };
}

/** The name of the workflow that a method is. */
export function workflowOf(method: MethodName): string {
  return `${SimulatedService.typeName}/${SimulatedService.method[method].name}`;
}

function policyConfig(policy: PolicyPlan): MessageInitShape<typeof WorkflowPolicySchema> {
  const { attemptTimeoutMs, progressTimeoutMs, retry, concurrency } = policy;
  return {
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
          },
        }),
    ...(concurrency === undefined ? {} : { concurrency }),
    callerGrace: durationFromMs(policy.callerGraceMs),
    cancelGrace: durationFromMs(policy.cancelGraceMs),
    maxInterruptions: policy.maxInterruptions,
    onInterrupt: policy.failsWhenInterrupted ? OnInterrupt.FAIL : OnInterrupt.RETAKE,
  };
}
