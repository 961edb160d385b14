import type { Policy } from "../../contract/index.ts";
import { showDuration } from "../display/times.ts";
import { findingAt, isIgnored, type LintRule } from "./linted.ts";

const rule = "unreached-limit";

/** Limits that another one always comes before: who wrote them counts on something that never happens. */
export const unreachedLimit: LintRule = function* ({ contracts, workflows }) {
  for (const { method, policy } of workflows.values()) {
    if (isIgnored(rule, method)) continue;
    for (const { limit, ms, before, beforeMs } of unreached(policy)) {
      yield findingAt(method, contracts, {
        severity: "warning",
        rule,
        message: `${method.name} has ${limit} ${showDuration(ms)}, which never passes: its ${before} is ${showDuration(beforeMs)}`,
        fixes: [
          {
            where: `in its option (retake.v1.workflow), or in retake.yaml: lower ${limit}, or raise ${before}`,
            lines: [],
          },
        ],
      });
    }
  }
};

interface Unreached {
  readonly limit: string;
  readonly ms: number;
  readonly before: string;
  readonly beforeMs: number;
}

function unreached({ timeoutMs, attemptTimeoutMs, progressTimeoutMs, retry }: Policy): readonly Unreached[] {
  const run = { before: "timeout", beforeMs: timeoutMs };
  const attempt = attemptTimeoutMs < timeoutMs ? { before: "attempt_timeout", beforeMs: attemptTimeoutMs } : run;
  const backoffMs = retry === undefined || retry.maxAttempts < 2 ? Number.POSITIVE_INFINITY : retry.initialBackoffMs;
  return [
    { limit: "attempt_timeout", ms: attemptTimeoutMs, ...run },
    { limit: "progress_timeout", ms: progressTimeoutMs, ...attempt },
    { limit: "retry.initial_backoff", ms: backoffMs, ...run },
  ].filter(({ ms, beforeMs }) => Number.isFinite(ms) && ms > beforeMs);
}
