import { Code, type ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { ErrorInfoSchema, QuotaFailureSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { queueFull } from "../../src/runs/errors.ts";

test("a full queue is told by the workflow, the limit that it has now, and a delay of its own", () => {
  const next = [0.25, 0.75, 0.25];
  const random = { next: () => next.shift() ?? 0, fill: () => undefined };
  expect(
    [queueFull("a.B/C", 5, random), queueFull("a.B/C", 6, random), queueFull("a.B/D", 5, random)].map(told),
  ).toEqual([expected("a.B/C", 5, 750), expected("a.B/C", 6, 1250), expected("a.B/D", 5, 750)]);
});

function told(error: ConnectError) {
  const [info] = error.findDetails(ErrorInfoSchema);
  const [retry] = error.findDetails(RetryInfoSchema);
  const [quota] = error.findDetails(QuotaFailureSchema);
  return {
    code: error.code,
    message: error.rawMessage,
    details: error.details.map((detail) => ("desc" in detail ? detail.desc.typeName : detail.type)),
    info: [info?.reason, info?.domain, info?.metadata],
    delayMs: Number(retry?.retryDelay?.seconds) * 1000 + Number(retry?.retryDelay?.nanos) / 1e6,
    metadata: Object.fromEntries(error.metadata),
    violations: quota?.violations.map(({ subject, description }) => [subject, description]),
  };
}

function expected(workflow: string, limit: number, delayMs: number): ReturnType<typeof told> {
  const description = `as many runs wait as its policy allows (queue_limit ${limit})`;
  return {
    code: Code.ResourceExhausted,
    message: `workflow ${workflow} is full: ${description}; call again later`,
    details: ["google.rpc.ErrorInfo", "google.rpc.RetryInfo", "google.rpc.QuotaFailure"],
    info: ["QUEUE_FULL", "retake.v1", { workflow }],
    delayMs,
    metadata: {
      "grpc-retry-pushback-ms": String(delayMs),
      "retry-after": String(Math.ceil(delayMs / 1000)),
    },
    violations: [[workflow, description]],
  };
}
