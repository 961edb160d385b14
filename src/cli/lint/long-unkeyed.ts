import { showDuration } from "../display/times.ts";
import { findingAt, isIgnored, type LintRule, shortName } from "./linted.ts";
import { freeNumber } from "./proto-lines.ts";

/** Nobody holds a connection through minutes without losing one now and then. */
const minutesMs = 2 * 60_000;

const rule = "long-unkeyed";

/** Workflows without a key that may run for minutes: who loses the connection loses the run, and pays for it twice. */
export const longUnkeyed: LintRule = function* ({ contracts, workflows }) {
  for (const { method, input, keyField, policy } of workflows.values()) {
    if (keyField !== undefined || policy.timeoutMs < minutesMs || isIgnored(rule, method)) continue;
    const name = input.fields.some((field) => field.name === "request_id") ? "idempotency_key" : "request_id";
    yield findingAt(method, contracts, {
      severity: "warning",
      rule,
      message:
        `${method.name} may run for ${showDuration(policy.timeoutMs)}, and its request has no idempotency key: a caller ` +
        "that loses its connection loses the run, and begins a second one by calling again",
      fixes: [
        {
          where: `in message ${shortName(input)}`,
          lines: [
            "// Calling again with the same id joins the same run.",
            `string ${name} = ${freeNumber(input)} [(retake.v1.idempotency_key) = true];`,
          ],
        },
        ...(input.file === method.parent.file || input.file.proto.dependency.includes("retake/v1/options.proto")
          ? []
          : [{ where: `at the top of ${input.file.proto.name}`, lines: ['import "retake/v1/options.proto";'] }]),
      ],
    });
  }
};
