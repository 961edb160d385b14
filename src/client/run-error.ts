import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { type Failure, FailureSchema, type Run, RunState } from "../../gen/retake/v1/run_pb.js";

/** How a run ended that has no result. */
export type RunErrorState = "failed" | "cancelled" | "expired";

/**
 * A run has ended without a result. It is not a ConnectError on purpose: that says that a call did not work, and calling
 * again may help; this says how the run ended, and calling again tells the same.
 */
export abstract class RunError extends Error {
  override readonly name: string = "RunError";
  abstract readonly state: RunErrorState;
  /** The code that a direct call of the workflow would have failed with. */
  readonly code: Code;
  /** The run as it ended, in a basic view. */
  readonly run: Run;

  constructor(message: string, code: Code, run: Run) {
    super(message);
    this.code = code;
    this.run = run;
  }
}

/** All that its policy allows has been tried, and failed. */
export class RunFailedError extends RunError {
  override readonly name = "RunFailedError";
  override readonly state = "failed" as const;
  /** Why. */
  readonly failure: Failure;

  constructor(run: Run) {
    const failure = run.failure ?? create(FailureSchema, { code: Code.Internal, reason: "INTERNAL" });
    const reference = failure.referenceId === "" ? "" : ` (reference ${failure.referenceId})`;
    super(`run ${run.runId} failed: ${failure.reason}: ${failure.message}${reference}`, failure.code, run);
    this.failure = failure;
  }
}

/** Somebody cancelled it. */
export class RunCancelledError extends RunError {
  override readonly name = "RunCancelledError";
  override readonly state = "cancelled" as const;
  /** Why: a person's words, or the server's: "CALLER_LOST", "DRAINED". May be empty. */
  readonly reason: string;

  constructor(run: Run) {
    super(
      `run ${run.runId} was cancelled${run.cancelReason === "" ? "" : `: ${run.cancelReason}`}`,
      Code.Canceled,
      run,
    );
    this.reason = run.cancelReason;
  }
}

/** Its deadline has passed. */
export class RunExpiredError extends RunError {
  override readonly name = "RunExpiredError";
  override readonly state = "expired" as const;

  constructor(run: Run) {
    super(`run ${run.runId} did not end before its deadline`, Code.DeadlineExceeded, run);
  }
}

/** The error of a run that has ended in any way but SUCCEEDED. */
export function runError(run: Run): RunError {
  switch (run.state) {
    case RunState.CANCELLED:
      return new RunCancelledError(run);
    case RunState.EXPIRED:
      return new RunExpiredError(run);
    default:
      return new RunFailedError(run);
  }
}
