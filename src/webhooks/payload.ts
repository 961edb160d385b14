import { create, type Registry, toJsonString } from "@bufbuild/protobuf";
import { PayloadSchema, type Run, RunState } from "../../gen/retake/v1/run_pb.js";
import { type WebhookPayload, WebhookPayloadSchema } from "../../gen/retake/v1/webhook_pb.js";

/** The end of a run as it is told. */
export function endPayload(run: Run): WebhookPayload {
  return create(WebhookPayloadSchema, {
    type: `run.${RunState[run.state].toLowerCase()}`,
    ...(run.endTime === undefined ? {} : { timestamp: run.endTime }),
    data: run,
  });
}

/** The JSON form of a payload. Messages whose types are not known (any more) are left out. */
export function payloadJson(payload: WebhookPayload, registry: Registry): string {
  try {
    return toJsonString(WebhookPayloadSchema, payload, { registry });
  } catch {
    const { data } = payload;
    return toJsonString(WebhookPayloadSchema, {
      ...payload,
      ...(data === undefined ? {} : { data: withoutMessages(data) }),
    });
  }
}

function withoutMessages(run: Run): Run {
  const { result, failure } = run;
  return {
    ...run,
    ...(result === undefined
      ? {}
      : { result: create(PayloadSchema, { typeName: result.typeName, sha256: result.sha256, size: result.size }) }),
    ...(failure === undefined ? {} : { failure: { ...failure, details: [] } }),
  };
}
