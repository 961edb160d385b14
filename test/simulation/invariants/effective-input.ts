import { Quality } from "../../../gen/retake/v1/options_pb.js";
import type { AttemptStarted } from "../../../gen/retake/v1/run_pb.js";
import { payloadDigest } from "../../../src/runs/ports/payloads.ts";
import type { RunHistory } from "../world/history.ts";

/** What an attempt asks for, in hex: steps are kept by it. Requests of `print` say nothing of quality, so that is added. */
export function effectiveInput(
  { accepted, method }: Pick<RunHistory, "accepted" | "method">,
  { quality, inputSha256 }: AttemptStarted,
): string {
  const asked = accepted.input?.sha256 ?? new Uint8Array();
  if (inputSha256.length > 0) {
    return hexOf(inputSha256);
  }
  return hexOf(
    method === "print" && quality !== Quality.FULL ? payloadDigest(Uint8Array.of(...asked, quality)) : asked,
  );
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
