import { Code, type ConnectError } from "@connectrpc/connect";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { draining } from "./errors.ts";
import { createFailure, errorFromFailure } from "./failure.ts";
import type { RunRecord } from "./run-record.ts";

/** What the callers of a run that has ended without a result get. */
export function endError(run: RunRecord): ConnectError {
  switch (run.state) {
    case RunState.FAILED:
      return errorFromFailure(
        run.failure ?? createFailure({ code: Code.Internal, reason: "INTERNAL", message: "the run failed" }),
      );
    case RunState.EXPIRED:
      return errorFromFailure(
        createFailure({
          code: Code.DeadlineExceeded,
          reason: "DEADLINE",
          message: `run ${run.accepted.runId} did not end before its deadline`,
          retryable: false,
        }),
      );
    default: {
      const reason = run.cancelRequest?.reason ?? "";
      if (reason === "DRAINED") {
        return draining();
      }
      return errorFromFailure(
        createFailure({
          code: Code.Canceled,
          reason: "CANCELLED",
          message: `run ${run.accepted.runId} was cancelled${reason === "" ? "" : `: ${reason}`}`,
          retryable: false,
        }),
      );
    }
  }
}
