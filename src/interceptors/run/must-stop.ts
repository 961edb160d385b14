import { Code } from "@connectrpc/connect";
import { createFailure, type Outcome, type RunRequest } from "../../runs/index.ts";

/** Whether nothing more may be begun for the run in this turn: it is being stopped, or has been concluded. */
export function mustStop({ turn }: Pick<RunRequest, "turn">): boolean {
  return turn.abortReason !== undefined || turn.concluded;
}

/** What such a stage comes to. The turn knows why, and says so in the run's end. */
export function stopped(message: string): Outcome {
  return {
    kind: "failed",
    failure: createFailure({ code: Code.Canceled, reason: "CANCELLED", message, retryable: false }),
  };
}
