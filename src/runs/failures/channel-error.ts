import { Code, type ConnectError } from "@connectrpc/connect";
import { createError } from "../failure.ts";
import { reasonOfErrorCode } from "./error-codes.ts";
import { channelPatterns, reasonOfMessage } from "./messages.ts";

/**
 * What a call has failed with that never reached its server, for callers: without the channel's words, which have
 * addresses and names of hosts in them. Undefined for what a server has said, which is its own to answer for: it comes
 * with headers, and maybe with details.
 */
export function channelError({ code, rawMessage, details, metadata }: ConnectError): ConnectError | undefined {
  if (code !== Code.Unavailable || details.length > 0 || !metadata.keys().next().done) {
    return undefined;
  }
  const reason = reasonOfMessage(rawMessage, channelPatterns);
  if (reason === undefined) {
    return undefined;
  }
  const [systemCode = ""] = /\bE[A-Z]{4,}\b/.exec(rawMessage) ?? [];
  const message = `the back-end cannot be reached${systemCode === "" ? "" : ` (${systemCode})`}`;
  return createError(code, reasonOfErrorCode(systemCode) ?? reason, message);
}
