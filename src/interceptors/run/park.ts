import { Code } from "@connectrpc/connect";
import type { Clock } from "../../clock.ts";
import {
  type Breakers,
  createFailure,
  failsOnOpen,
  holdAtBreaker,
  type Outcome,
  type RunInterceptor,
} from "../../runs/index.ts";

/** What callers are asked to wait where nobody knows when the breaker closes. */
const unknownDelayMs = 1000;

/**
 * What becomes of a run that has met an open breaker and has no fallback left, by the policy's `on_open`: it is parked
 * until the breaker lets it through, or fails at once. An attached run without a key fails by default: its caller knows
 * better what to do than to wait.
 */
export function park(options: { readonly breakers: Pick<Breakers, "of">; readonly clock: Clock }): RunInterceptor {
  const { breakers, clock } = options;
  return (next) => (request) => {
    const breaker = breakers.of(request.workflow);
    if (breaker === undefined) {
      return next(request);
    }
    return next(request).then((outcome) => {
      if (outcome.kind !== "blocked" || outcome.gate !== "breaker") {
        return outcome;
      }
      return failsOnOpen(request.run.accepted, request.workflow.policy)
        ? failed(outcome.reason, (outcome.notBeforeMs ?? clock.now() + unknownDelayMs) - clock.now())
        : holdAtBreaker(breaker, request.run, outcome.reason);
    });
  };
}

function failed(reason: string, retryDelayMs: number): Outcome {
  return {
    kind: "failed",
    failure: createFailure({
      code: Code.Unavailable,
      reason: "BREAKER_OPEN",
      message: `${reason}; call again later`,
      retryable: true,
      retryDelayMs: Math.max(0, retryDelayMs),
    }),
  };
}
