import { Code } from "@connectrpc/connect";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import { isHopeless } from "../failure.ts";
import type { Outcome, Turn } from "../handler.ts";
import type { Verdict } from "./breaker.ts";

/** What the outcome of an attempt says of its back-end: nothing where it was cancelled, or its caller was wrong. */
export function verdictOf(outcome: Outcome, { abortReason }: Pick<Turn, "abortReason">): Verdict {
  // An attempt that took too long is aborted as UNAVAILABLE; all others that are aborted could not help it.
  if (abortReason !== undefined && abortReason.code !== Code.Unavailable) {
    return undefined;
  }
  if (outcome.kind === "succeeded") {
    return "success";
  }
  // Stages further in turn some failures into a wait.
  const failure = outcome.kind === "failed" || outcome.kind === "waiting" ? outcome.failure : undefined;
  if (failure === undefined || failure.category === FailureCategory.VALIDATION) {
    return undefined;
  }
  return isCallersMistake(failure.code) ? undefined : "failure";
}

/** Whether a back-end says that the request is wrong, and not that it is in trouble itself. */
function isCallersMistake(code: Code): boolean {
  // One that does not have its own method is the wrong one, or a broken one.
  return code === Code.Canceled || (isHopeless(code) && code !== Code.Unimplemented);
}
