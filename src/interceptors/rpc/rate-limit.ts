import type { Interceptor, StreamRequest, UnaryRequest } from "@connectrpc/connect";
import { Health } from "../../../gen/grpc/health/v1/health_pb.js";
import { RunService, type StartRunRequest } from "../../../gen/retake/v1/run_service_pb.js";
import { workflowName } from "../../contract/index.ts";
import { principalKey, type RateLimits } from "../../security/index.ts";
import { peerKey } from "../../transport/index.ts";

export interface RateLimitOptions {
  readonly limits: RateLimits;
  /** Whether it is known yet who calls. */
  readonly authenticated: boolean;
  /** Whether there is a workflow of that name: one that StartRun is to start counts as itself. */
  readonly isWorkflow: (name: string) => boolean;
}

/** Refuses what is too much: calls that come over the network, a stream once, when it starts. Health checks do not count. */
export function limitRates({ limits, authenticated, isWorkflow }: RateLimitOptions): Interceptor {
  return (next) => (request) => {
    const peer = request.contextValues.get(peerKey);
    if (peer?.inProcess === true || peer?.counted === true || request.service.typeName === Health.typeName)
      return next(request);
    const refusal = limits.refusal({
      address: peer?.address ?? "",
      workflow: calledWorkflow(request, isWorkflow),
      ...(authenticated && { principal: request.contextValues.get(principalKey) }),
    });
    return refusal === undefined ? next(request) : Promise.reject(refusal);
  };
}

function calledWorkflow(request: UnaryRequest | StreamRequest, isWorkflow: (name: string) => boolean): string {
  if (!request.stream && request.method === RunService.method.startRun) {
    const { workflow } = request.message as StartRunRequest;
    if (isWorkflow(workflow)) return workflow;
  }
  return workflowName(request.method);
}
