import { Code } from "@connectrpc/connect";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import type { Failure } from "../../../gen/retake/v1/run_pb.js";

/** Whether whoever asks is wrong: that says nothing of the back-end, and another one would say the same. */
export function isCallersMistake({ category, code }: Pick<Failure, "category" | "code">): boolean {
  return (
    category === FailureCategory.VALIDATION ||
    // A model that its back-end may not use, or does not have, is nothing that a caller can help.
    (category !== FailureCategory.MODEL && (code === Code.PermissionDenied || code === Code.Unauthenticated))
  );
}

/** Whether a failure is the back-end's own, and not the doing of a request, nor of somebody who has cancelled it. */
export function isBackendsFailure(failure: Pick<Failure, "category" | "code">): boolean {
  if (isCallersMistake(failure) || failure.code === Code.Canceled) {
    return false;
  }
  // What a request names may not be there; a model that is not there, no request names.
  return failure.category === FailureCategory.MODEL || !refusals.has(failure.code);
}

/** Codes by which a back-end that is well refuses a request. One without its own method is the wrong one, or a broken one. */
const refusals: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.FailedPrecondition,
  Code.OutOfRange,
]);
