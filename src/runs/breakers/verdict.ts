import { Code } from "@connectrpc/connect";
import { isBackendsFailure } from "../failures/callers-mistake.ts";
import type { Outcome, Turn } from "../handler.ts";
import type { Verdict } from "./breaker.ts";

/** What the outcome of an attempt says of its back-end: nothing where it was cancelled, or its caller was wrong. */
export function verdictOf(outcome: Outcome, { abortReason }: Pick<Turn, "abortReason">): Verdict {
  // An attempt that took too long is aborted as UNAVAILABLE, one whose handler left an error to nobody as INTERNAL; all
  // others that are aborted could not help it.
  if (abortReason !== undefined && abortReason.code !== Code.Unavailable && abortReason.code !== Code.Internal) {
    return undefined;
  }
  if (outcome.kind === "succeeded") {
    return "success";
  }
  // Stages further in turn some failures into a wait.
  const failure = outcome.kind === "failed" || outcome.kind === "waiting" ? outcome.failure : undefined;
  return failure !== undefined && isBackendsFailure(failure) ? "failure" : undefined;
}
