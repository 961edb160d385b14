import { Code, type ConnectError } from "@connectrpc/connect";
import { type Failure, RunState } from "../../gen/retake/v1/run_pb.js";
import type { Policy } from "../contract/index.ts";
import { draining } from "./errors.ts";
import { createFailure, errorFromFailure } from "./failure.ts";
import type { RunRecord } from "./run-record.ts";

/** What the callers of a run that has ended without a result get. */
export function endError(run: RunRecord): ConnectError {
  return run.state === RunState.CANCELLED && run.cancelRequest?.reason === "DRAINED"
    ? draining()
    : errorFromFailure(endFailure(run));
}

/** Why a run has ended without a result. */
export function endFailure(run: RunRecord): Failure {
  switch (run.state) {
    case RunState.FAILED:
      return run.failure ?? createFailure({ code: Code.Internal, reason: "INTERNAL", message: "the run failed" });
    case RunState.EXPIRED:
      return createFailure({
        code: Code.DeadlineExceeded,
        reason: "DEADLINE",
        message: `run ${run.accepted.runId} did not end before its deadline`,
        retryable: false,
      });
    default: {
      const reason = run.cancelRequest?.reason ?? "";
      return createFailure({
        code: Code.Canceled,
        reason: "CANCELLED",
        message: `run ${run.accepted.runId} was cancelled${reason === "" ? "" : `: ${reason}`}`,
        retryable: false,
      });
    }
  }
}

/** Why a run is given up that does not survive its process. */
export function crashLoop({ maxInterruptions }: Policy): Failure {
  return createFailure({
    code: Code.Aborted,
    reason: "CRASH_LOOP",
    message: `${maxInterruptions} attempts in a row were interrupted without a new step or checkpoint: look for what stops the server while this run works`,
    retryable: false,
  });
}
