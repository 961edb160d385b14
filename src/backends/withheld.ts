import type { Failure } from "../../gen/retake/v1/run_pb.js";
import { withoutTexts } from "../contract/index.ts";

/** Takes texts out of what is journaled and told of a failure. Details that have one of them are left out. */
export function withholdFrom(failure: Failure, texts: readonly string[]): void {
  failure.message = withoutTexts(failure.message, texts);
  for (const cause of failure.causes) cause.message = withoutTexts(cause.message, texts);
  failure.details = failure.details.filter(({ value }) => {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
    return !texts.some((text) => bytes.includes(text));
  });
}

/** An error as the log may have it: itself where nothing is withheld. */
export function withheldError(error: unknown, texts: readonly string[]): unknown {
  if (texts.length === 0) return error;
  if (!(error instanceof Error)) return withoutTexts(String(error), texts);
  const copy = new Error(withoutTexts(error.message, texts));
  copy.name = error.name;
  copy.stack = withoutTexts(error.stack ?? "", texts);
  return copy;
}
