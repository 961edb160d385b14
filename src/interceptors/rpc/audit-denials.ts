import { Code, type ConnectError, type StreamRequest, type UnaryRequest } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { type Audit, anonymous, isDenial, principalKey } from "../../security/index.ts";
import { peerKey } from "../../transport/index.ts";

/**
 * Puts on record that this server denied a call: who calls, and is let do something, passes nothing here. Nor does what a
 * run failed with, though that may have the same code.
 */
export function auditDenials(audit: Audit): (error: ConnectError, request: UnaryRequest | StreamRequest) => void {
  return (error, { service, method, contextValues }) => {
    const principal = contextValues.get(principalKey);
    // Who calls is not known yet where it is refused while that is found out: wrong credentials are on record as such.
    const isKnown = principal !== anonymous;
    if (!isDenial(error) && (isKnown || error.code !== Code.PermissionDenied)) return;
    audit.record({
      action: "call",
      outcome: "denied",
      principal,
      resource: `${service.typeName}/${method.name}`,
      source: contextValues.get(peerKey)?.address ?? "",
      reason: reasonOf(error),
    });
  };
}

/** The reason of an error's ErrorInfo, else the name of its code. */
export function reasonOf(error: ConnectError): string {
  return error.findDetails(ErrorInfoSchema)[0]?.reason || (Code[error.code] ?? "Unknown");
}
