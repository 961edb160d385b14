import { Code } from "@connectrpc/connect";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import { FailureSeverity } from "../../../gen/retake/v1/run_pb.js";
import { categoryOfCode, createFailure, errorFromFailure } from "../failure.ts";
import { boundFailure } from "./bounds.ts";

/** What a handler says of its own failure. */
export interface FailInit {
  /** For callers: what is wrong, and what to do next. They see it as it is, up to 2,048 characters. */
  readonly message: string;
  /** Default: what the category says, else `Code.Internal`. */
  readonly code?: Code;
  /** Default: what the code says. */
  readonly category?: Exclude<keyof typeof FailureCategory, "UNSPECIFIED">;
  /** Default: what code and category say. */
  readonly severity?: Exclude<keyof typeof FailureSeverity, "UNSPECIFIED">;
  /** A stable name of the cause, in upper case: "LICENCE_EXPIRED". Default: that of the code. */
  readonly reason?: string;
  /** Whether another attempt may help; `false` rules it out, whatever the policy says. Default: what the code says. */
  readonly retryable?: boolean;
  /** How long to wait before that. Default: the backoff of the policy. */
  readonly retryDelayMs?: number;
  /** What led to it. It goes to the log under a reference id; callers learn what kind of trouble it was. */
  readonly cause?: unknown;
}

/** The code that says the same as a category. */
const codeOfCategory: Readonly<Record<Exclude<keyof typeof FailureCategory, "UNSPECIFIED">, Code>> = {
  NETWORK: Code.Unavailable,
  MEMORY: Code.ResourceExhausted,
  VALIDATION: Code.InvalidArgument,
  MODEL: Code.FailedPrecondition,
  WORKFLOW: Code.Internal,
  SYSTEM: Code.Internal,
  UNKNOWN: Code.Unknown,
};

/**
 * Ends the attempt with a failure that the handler describes, by throwing it: the policy decides by it what happens next,
 * and its message, reason and retry delay reach the caller.
 *
 * @example fail({ category: "MEMORY", reason: "VIDEO_TOO_LONG", message: "the video needs more than the GPU has" });
 */
export function fail(init: FailInit): never {
  const category = FailureCategory[init.category as keyof typeof FailureCategory] as FailureCategory | undefined;
  const code =
    init.code ??
    (category === undefined ? Code.Internal : codeOfCategory[init.category as keyof typeof codeOfCategory]);
  const failure = createFailure({
    code,
    // INTERNAL alone would be the system's.
    category: category ?? (init.code === undefined ? FailureCategory.WORKFLOW : categoryOfCode(code)),
    // A failure must not fail for what a program without types says of it.
    message: String(init.message ?? ""),
    reason: reasonOf(String(init.reason ?? "")),
    ...(init.severity !== undefined && { severity: FailureSeverity[init.severity] }),
    ...(init.retryable !== undefined && { retryable: init.retryable, final: !init.retryable }),
    ...(init.retryDelayMs !== undefined && { retryDelayMs: init.retryDelayMs }),
  });
  throw errorFromFailure(boundFailure(failure), init.cause);
}

/** What `ErrorInfo.reason` allows. A failure must not fail for its name. */
function reasonOf(given: string): string {
  return given
    .toUpperCase()
    .replace(/[^A-Z0-9]+/g, "_")
    .replace(/^[_0-9]+|_+$/g, "");
}
