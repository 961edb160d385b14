import type { Failure } from "../../../gen/retake/v1/run_pb.js";

/** A failure travels in the trailers of calls, which common clients limit to 8 or 16 KiB, more than once. */
const mostMessageCharacters = 2048;
const mostReasonCharacters = 63;
const mostDetailBytes = 16 * 1024;
const mostCauses = 8;
const mostCodeCharacters = 64;
const mostCauseCharacters = 256;

/** Shortens what is too long in a failure that somebody else has made. */
export function boundFailure(failure: Failure): Failure {
  failure.message = shorten(failure.message, mostMessageCharacters);
  failure.reason = failure.reason.slice(0, mostReasonCharacters);
  failure.referenceId = failure.referenceId.slice(0, mostReasonCharacters);
  let bytes = 0;
  failure.details = failure.details.filter(({ typeUrl, value }) => {
    const size = typeUrl.length + value.length;
    const fits = bytes + size <= mostDetailBytes;
    bytes += fits ? size : 0;
    return fits;
  });
  failure.causes = failure.causes.slice(0, mostCauses);
  for (const cause of failure.causes) {
    cause.reason = cause.reason.slice(0, mostReasonCharacters);
    cause.code = cause.code.slice(0, mostCodeCharacters);
    cause.message = shorten(cause.message, mostCauseCharacters);
  }
  return failure;
}

function shorten(text: string, most: number): string {
  const whole = text.toWellFormed();
  return whole.length <= most ? whole : `${whole.slice(0, most - 1).toWellFormed()}…`;
}
