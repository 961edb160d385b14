import { create } from "@bufbuild/protobuf";
import { type Failure, RetryScheduledSchema } from "../../../gen/retake/v1/run_pb.js";
import type { Clock, RandomSource } from "../../clock.ts";
import type { Policy } from "../../contract/index.ts";
import {
  backoffMs,
  canLowerQuality,
  durationFromMs,
  isHopeless,
  msFromDuration,
  type RunInterceptor,
  timestampFromMs,
} from "../../runs/index.ts";

/** What a caller is asked to wait where nobody has said how long. */
const defaultRetryDelayMs = 1000;

/**
 * Retakes failed attempts by the policy's retry fields, which mean what they mean in gRPC's service config (gRFC A6). The
 * back-end's own retry delay decides over the backoff, which starts anew behind it; neither goes past the run's deadline.
 * The wait is an event, so a restart neither loses nor shortens it; where there is no other attempt, it is the caller's.
 */
export function retry(options: { readonly clock: Clock; readonly random: RandomSource }): RunInterceptor {
  const { clock, random } = options;
  return (next) => async (request) => {
    const { run, workflow } = request;
    const attemptsBefore = run.attempts;
    const lostBefore = run.attempt !== undefined;
    const outcome = await next(request);
    if (outcome.kind !== "failed" || (run.attempts === attemptsBefore && !lostBefore)) {
      return outcome;
    }
    const { failure } = outcome;
    const policy = workflow.policy.retry;
    const attemptsMade = run.countedFailures + 1;
    const listed =
      policy !== undefined && (isListed(failure, policy) || canLowerQuality(run, workflow.policy, failure));
    // A policy may list a code that is hopeless by itself; a back-end that says no means it.
    if (failure.final || (!failure.retryable && !(listed && isHopeless(failure.code)))) {
      return outcome;
    }
    if (policy === undefined) {
      failure.retryDelay ??= durationFromMs(defaultRetryDelayMs);
      return outcome;
    }
    const delayMs =
      failure.retryDelay === undefined
        ? backoffMs(policy, run.failuresSinceDelay + 1, random)
        : msFromDuration(failure.retryDelay);
    const wakeAtMs = clock.now() + delayMs;
    if (!listed || attemptsMade >= policy.maxAttempts || wakeAtMs >= run.deadlineMs) {
      failure.retryDelay ??= durationFromMs(delayMs);
      return outcome;
    }
    return {
      kind: "waiting",
      failure,
      wakeAtMs,
      events: [
        {
          case: "retryScheduled",
          value: create(RetryScheduledSchema, {
            wakeAt: timestampFromMs(wakeAtMs),
            reason: `attempt ${attemptsMade} of ${policy.maxAttempts} failed: ${failure.reason}`,
          }),
        },
      ],
    };
  };
}

function isListed(failure: Failure, policy: NonNullable<Policy["retry"]>): boolean {
  return policy.retryableCodes.has(failure.code) || policy.retryableCategories.has(failure.category);
}
