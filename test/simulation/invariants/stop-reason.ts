import { ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import type { AttemptSight } from "../world/witness.ts";

/** Why an attempt has been told to stop; undefined if it has not. */
export function stopReason({ signal }: AttemptSight): string | undefined {
  if (!signal.aborted) {
    return undefined;
  }
  const error: unknown = signal.reason;
  return error instanceof ConnectError ? (error.findDetails(ErrorInfoSchema)[0]?.reason ?? "") : "";
}
