import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import { type Failure, FailureSeverity } from "../../../gen/retake/v1/run_pb.js";
import { plainText } from "./plain-text.ts";
import { durationMs, showDuration } from "./times.ts";

/** A failure in one line: `GPU_LOST: the card fell off the bus`. */
export function failureText(failure: Failure | undefined): string {
  if (failure === undefined) return "no reason was given";
  return plainText([failure.reason, failure.message].filter((part) => part !== "").join(": ")) || "no reason was given";
}

/** What else is known of it, a line each: what kind of trouble it is, whether retaking helps, and how to find more. */
export function failureDetails(failure: Failure): string[] {
  const { category, severity, retryable, final, retryDelay, referenceId, causes } = failure;
  const kind = [
    category === FailureCategory.UNSPECIFIED ? "" : `${FailureCategory[category]} trouble`,
    severity === FailureSeverity.UNSPECIFIED ? "" : `severity ${FailureSeverity[severity]}`,
    retryable
      ? "another attempt may succeed"
      : final
        ? "its source has ruled another attempt out"
        : "another attempt would fail the same way",
  ];
  return [
    kind.filter((part) => part !== "").join(", "),
    ...(retryDelay === undefined ? [] : [`not before ${showDuration(durationMs(retryDelay))} have passed`]),
    ...causes.map(({ reason, code, message }) =>
      plainText(`because ${message || reason}${code === "" ? "" : ` (${code})`}`),
    ),
    ...(referenceId === "" ? [] : [`reference ${plainText(referenceId)}, for the server's log`]),
  ];
}
