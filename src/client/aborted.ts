import { Code, ConnectError } from "@connectrpc/connect";

/** What somebody gets who aborted a call, or the client as a whole: the signal's reason as a ConnectError, Canceled by default. */
export function errorFromAborted(signal: AbortSignal): ConnectError {
  return ConnectError.from(signal.reason, Code.Canceled);
}
