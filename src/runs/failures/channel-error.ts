import { Code, type ConnectError } from "@connectrpc/connect";
import { createError } from "../failure.ts";
import { reasonOfErrorCode } from "./error-codes.ts";
import { channelPatterns, lostCallPatterns, reasonOfMessage } from "./messages.ts";

/**
 * What a call has failed with that never reached its server, or was cut off from it, for callers: without the channel's
 * words, which have addresses and names of hosts in them. Undefined for what a server has said, which is its own to answer
 * for. To be asked of an error whose status came with nothing, as the channel's do.
 */
export function channelError({ code, rawMessage, details, metadata }: ConnectError): ConnectError | undefined {
  if (code !== Code.Unavailable || details.length > 0) {
    return undefined;
  }
  // Once there were headers, a server's status may come with nothing as well.
  const answered = !metadata.keys().next().done;
  const reason = reasonOfMessage(rawMessage, answered ? lostCallPatterns : channelPatterns);
  if (reason === undefined) {
    return undefined;
  }
  const [systemCode = ""] = /\bE[A-Z]{4,}\b/.exec(rawMessage) ?? [];
  const message = `the back-end cannot be reached${systemCode === "" ? "" : ` (${systemCode})`}`;
  return createError(code, reasonOfErrorCode(systemCode) ?? reason, message);
}
