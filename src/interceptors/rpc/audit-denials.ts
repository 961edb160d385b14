import { Code, type ConnectError, type StreamRequest, type UnaryRequest } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { type Audit, anonymous, principalKey } from "../../security/index.ts";
import { peerKey } from "../../transport/index.ts";

/** Full queues and large messages are no denied access. */
const deniedByLimit = "RATE_LIMITED";

/** Puts on record that a call was denied, by what it ends with: who calls, and is let do something, passes nothing here. */
export function auditDenials(audit: Audit): (error: ConnectError, request: UnaryRequest | StreamRequest) => void {
  return (error, { service, method, contextValues }) => {
    const { code } = error;
    if (code !== Code.PermissionDenied && code !== Code.Unauthenticated && code !== Code.ResourceExhausted) return;
    const reason = reasonOf(error);
    if (code === Code.ResourceExhausted && reason !== deniedByLimit) return;
    const principal = contextValues.get(principalKey);
    // Nobody has told yet who it is, so it was refused while that was found out, which is on record as such.
    if (code === Code.Unauthenticated && principal === anonymous) return;
    audit.record({
      action: "call",
      outcome: "denied",
      principal,
      resource: `${service.typeName}/${method.name}`,
      source: contextValues.get(peerKey)?.address ?? "",
      reason,
    });
  };
}

/** The reason of an error's ErrorInfo, else the name of its code. */
export function reasonOf(error: ConnectError): string {
  return error.findDetails(ErrorInfoSchema)[0]?.reason || (Code[error.code] ?? "Unknown");
}
