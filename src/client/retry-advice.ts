import type { ConnectError } from "@connectrpc/connect";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { FailureSchema } from "../../gen/retake/v1/run_pb.js";

/** What a server says about calling again. */
export type RetryAdvice =
  | { readonly kind: "never" }
  /** No sooner than this; 0 where the server did not say. */
  | { readonly kind: "after"; readonly delayMs: number };

/**
 * Reads `google.rpc.RetryInfo` and `grpc-retry-pushback-ms` (gRFC A6). An error that carries a Failure is how a run
 * ended, and its policy has retried it already: that is never retried from here.
 */
export function retryAdvice(error: ConnectError): RetryAdvice {
  if (error.findDetails(FailureSchema).length > 0) return { kind: "never" };
  const pushback = error.metadata.get("grpc-retry-pushback-ms");
  if (pushback !== null && !/^\d{1,9}$/.test(pushback)) return { kind: "never" };
  const [info] = error.findDetails(RetryInfoSchema);
  const infoMs =
    info?.retryDelay === undefined ? 0 : Number(info.retryDelay.seconds) * 1000 + info.retryDelay.nanos / 1e6;
  return { kind: "after", delayMs: Math.max(infoMs, Number(pushback)) };
}
