import { showDuration } from "../display/times.ts";
import { findingAt, importing, isIgnored, type LintRule, shortName } from "./linted.ts";

/** nginx and the balancers of the large clouds close a connection on which nothing has come for this long. */
export const proxiesWaitMs = 60_000;

const rule = "long-unary";

/** Unary workflows that may run longer than proxies wait: their callers lose the connection, and with it the answer. */
export const longUnary: LintRule = function* ({ contracts, workflows }) {
  for (const { method, output, streaming, policy } of workflows.values()) {
    if (streaming || policy.timeoutMs <= proxiesWaitMs || isIgnored(rule, method)) continue;
    const name = output.name.endsWith("Response") ? output.name : `${method.name}Response`;
    const result = method.name === output.name ? `${output.name}Result` : method.name;
    yield findingAt(method, contracts, {
      severity: "warning",
      rule,
      message:
        `${method.name} answers once, and may run for ${showDuration(policy.timeoutMs)}: proxies close a connection ` +
        `that has been silent for ${showDuration(proxiesWaitMs)}, and its caller is left without the answer`,
      fixes: [
        {
          where: "either let it stream its progress",
          lines: [
            `rpc ${method.name}(${shortName(method.input)}) returns (stream ${name}) {`,
            "",
            `message ${name} {`,
            "  oneof update {",
            "    retake.v1.Progress progress = 1;",
            `    ${result} result = 2;`,
            "  }",
            "}",
            "",
            `message ${result} {`,
            `  // What ${shortName(output)} holds now.`,
            "}",
          ],
        },
        ...importing("retake/v1/run.proto", method.parent.file),
        {
          where: "or end it in time, in its option (retake.v1.workflow)",
          lines: [`timeout: { seconds: ${proxiesWaitMs / 1000} }`],
        },
      ],
    });
  }
};
