import { Code } from "@connectrpc/connect";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import type { Failure, RunEvent } from "../../../gen/retake/v1/run_pb.js";
import { RunMode } from "../../../gen/retake/v1/run_pb.js";
import { msFromDuration, msFromTimestamp } from "../../../src/runs/time.ts";
import type { PolicyPlan, RetryPlan } from "../plan/policy-plan.ts";
import { codeNamed } from "../world/handlers.ts";
import type { RunHistory } from "../world/history.ts";
import { assert, type Invariant } from "../world/witness.ts";
import { roundingMs } from "./times.ts";

/** Jitter goes 20 % either way (gRFC A6). */
const jitter = 0.2;
const interruptions: ReadonlySet<string> = new Set(["INTERRUPTED", "HANDED_BACK"]);

export const attempts: Invariant = {
  name: "attempts are within the policy",
  witness: ({ plan }) => ({
    concluded(history) {
      for (const run of history.values()) {
        assertWithinPolicy(run, plan.policies[run.method]);
      }
    },
  }),
};

/** @throws Violation */
export function assertWithinPolicy(run: RunHistory, policy: PolicyPlan): void {
  let counted = 0;
  let backedOff = 0;
  let interruptedInRow = 0;
  let isCancelling = false;
  let started = 0;
  let quality = 0;
  run.events.forEach((event, index) => {
    const body = event.event;
    const next = run.events.slice(index + 1).find(({ event: { case: kind } }) => kind !== "fallbackSkipped");
    switch (body.case) {
      case "cancelRequested":
        isCancelling = true;
        break;
      case "attemptStarted":
        started += 1;
        quality = body.value.quality;
        break;
      case "stepCompleted":
      case "attemptCheckpoint":
      case "childEnded":
        interruptedInRow = 0;
        break;
      case "attemptFailed": {
        const { failure } = body.value;
        assert(failure !== undefined, `attempt ${started} of run ${run.runId} failed without saying why`);
        // A child that was interrupted, and may not be retaken, fails ABORTED for that reason, and its parent with it.
        const isInterruption = interruptions.has(failure.reason) && failure.code === Code.Unavailable;
        const isFree = isInterruption || isCancelling || next?.event.case === "expired";
        assert(
          body.value.counted === !isFree,
          `attempt ${started} of run ${run.runId} ended ${failure.reason} and was ${isFree ? "" : "not "}counted`,
        );
        if (body.value.counted) {
          counted += 1;
          // A back-end that says how long to wait lets the backoff start anew (gRFC A6).
          backedOff = failure.retryDelay === undefined ? backedOff + 1 : 0;
          interruptedInRow = 0;
          assertRetaken({ run, policy, event, failure, counted, backedOff, quality, next });
        } else if (isInterruption && !isCancelling && next?.event.case !== "expired") {
          interruptedInRow += 1;
          assertInterruption({ run, policy, interruptedInRow, next });
        }
        break;
      }
      case "succeeded":
      case "failed":
      case "expired": {
        const told = body.value.statistics?.attempts;
        assert(told === started, `run ${run.runId} says that it took ${told} attempts, and took ${started}`);
        break;
      }
    }
  });
}

interface Retake {
  readonly run: RunHistory;
  readonly policy: PolicyPlan;
  readonly event: RunEvent;
  readonly failure: Failure;
  /** Failures that the policy pays for, this one included. */
  readonly counted: number;
  /** Those of them since a back-end last said how long to wait. */
  readonly backedOff: number;
  /** Of the attempt that has failed. */
  readonly quality: number;
  readonly next: RunEvent | undefined;
}

/** After a failure that counts the run is retaken exactly if its policy says so, after the wait that it says. */
function assertRetaken({ run, policy, event, failure, counted, backedOff, quality, next }: Retake): void {
  const { retry } = policy;
  const where = `run ${run.runId} after its failure number ${counted} (${failure.reason})`;
  const isSmaller =
    retry?.lowersQuality === true &&
    failure.category === FailureCategory.MEMORY &&
    quality > Math.max(policy.quality?.min ?? 1, run.accepted.minQuality);
  const listed = isSmaller || retry?.codes.some((code) => codeNamed(code) === failure.code) === true;
  const mayRetake = retry !== undefined && listed && counted < retry.maxAttempts;
  const failedMs = msFromTimestamp(event.time);
  if (next?.event.case === "retryScheduled") {
    assert(mayRetake, `${where} is retaken, which its policy does not allow`);
    const [least, most] = waitOf(retry, failure, backedOff);
    const waitMs = msFromTimestamp(next.event.value.wakeAt) - failedMs;
    assert(
      waitMs >= least - roundingMs && waitMs <= most + roundingMs,
      `${where} waits ${waitMs} ms, and not ${least} to ${most}`,
    );
    return;
  }
  assert(
    next?.event.case === "failed" || next?.event.case === "fallbackStarted",
    `${where} goes on with ${next?.event.case}`,
  );
  if (mayRetake) {
    const [, most] = waitOf(retry, failure, backedOff);
    const isTooLate = failedMs + most >= msFromTimestamp(run.accepted.deadline);
    assert(isTooLate || !failure.retryable, `${where} is not retaken, although its policy says so`);
  }
}

function waitOf(retry: RetryPlan, failure: Failure, backedOff: number): readonly [number, number] {
  if (failure.retryDelay !== undefined) {
    const delayMs = msFromDuration(failure.retryDelay);
    return [delayMs, delayMs];
  }
  const { initialBackoffMs, maxBackoffMs, backoffMultiplier } = retry;
  const waitMs = Math.min(initialBackoffMs * backoffMultiplier ** (backedOff - 1), maxBackoffMs);
  return [waitMs * (1 - jitter), waitMs * (1 + jitter)];
}

interface Interruption {
  readonly run: RunHistory;
  readonly policy: PolicyPlan;
  readonly interruptedInRow: number;
  readonly next: RunEvent | undefined;
}

/** An interruption ends a run exactly if its policy says so. */
function assertInterruption({ run, policy, interruptedInRow, next }: Interruption): void {
  if (run.accepted.mode === RunMode.ATTACHED) {
    return;
  }
  const reason = policy.failsWhenInterrupted
    ? "INTERRUPTED"
    : // Its fallbacks come first.
      interruptedInRow >= policy.maxInterruptions && policy.fallbacks === undefined
      ? "CRASH_LOOP"
      : undefined;
  const ended = next?.event.case === "failed" ? next.event.value.failure?.reason : undefined;
  // What is interrupted takes its turn like everybody else, and the policy may say what comes of that while nobody goes.
  const isRefused = ended === "BREAKER_OPEN" && policy.breaker?.onOpen === "fail";
  assert(
    ended === reason || isRefused || (ended === "CRASH_LOOP" && interruptedInRow >= policy.maxInterruptions),
    `run ${run.runId}, interrupted ${interruptedInRow} times in a row, ${ended === undefined ? "goes on" : `failed ${ended}`}`,
  );
}
