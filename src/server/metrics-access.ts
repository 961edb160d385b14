import type { IncomingMessage, ServerResponse } from "node:http";
import { create, type DescMethodUnary } from "@bufbuild/protobuf";
import { ConnectError, type Interceptor, type UnaryRequest } from "@connectrpc/connect";
import { MonitoringService } from "../../gen/retake/v1/monitoring_service_pb.js";
import type { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { type AccessControl, principalKey } from "../security/index.ts";
import { assertForWorkflow } from "./limited-credentials.ts";
import { webErrorFrom, writeError } from "./web-errors.ts";
import type { RawService } from "./web-front.ts";
import { peerValues } from "./web-peer.ts";
import { requestHeaders } from "./web-request.ts";

export interface MetricsAccessOptions {
  readonly min: AccessLevel;
  /** What finds out who calls. */
  readonly interceptors: readonly Interceptor[];
  readonly access: AccessControl;
}

/** What the audit log and rate limits know reading of metrics by: as if it were a call. */
const standIn: DescMethodUnary = { ...MonitoringService.method.getAlertSummary, name: "GET /metrics" };

/** Lets those read metrics who may, by the same ways as calls: wrong credentials count, and denials are on record. */
export function guardMetrics(metrics: RawService, { min, interceptors, access }: MetricsAccessOptions): RawService {
  const letIn: ReturnType<Interceptor> = async ({ contextValues }) => {
    const principal = access.effective(contextValues.get(principalKey));
    access.assertLevel(principal, {
      ...{ method: standIn.name, workflow: false, declared: true, min, groups: [], levelOnly: true },
    });
    assertForWorkflow({ values: contextValues }, undefined);
    const { parent: service, output } = standIn;
    const answer = { message: create(output), header: new Headers(), trailer: new Headers() };
    return { stream: false, service, method: standIn, ...answer };
  };
  return {
    async serve(request, response) {
      const gone = new AbortController();
      response.once("close", () => gone.abort());
      try {
        await interceptors.reduceRight((next, one) => one(next), letIn)(asCall(request, gone.signal));
      } catch (error) {
        refuse(ConnectError.from(error), response);
        return;
      }
      await metrics.serve(request, response);
    },
  };
}

function asCall(request: IncomingMessage, signal: AbortSignal): UnaryRequest {
  return {
    stream: false,
    service: standIn.parent,
    method: standIn,
    requestMethod: request.method ?? "GET",
    url: `http://localhost${request.url}`,
    signal,
    header: requestHeaders(request),
    contextValues: peerValues(request),
    message: create(standIn.input),
  };
}

function refuse(error: ConnectError, response: ServerResponse): void {
  response.on("error", () => undefined);
  response.setHeader("cache-control", "no-store");
  writeError(webErrorFrom(error), response);
}
