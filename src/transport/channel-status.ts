import type { ConnectError } from "@connectrpc/connect";
import type { StatusObject } from "@grpc/grpc-js";
import { isEmpty } from "./metadata.ts";
import { errorFromStatus } from "./status.ts";

/** Beside the errors: their metadata has the response headers too, which may have come before the connection was lost. */
const bare = new WeakSet<ConnectError>();

/** Converts the status of a call over a channel, and remembers whether it came with anything. */
export function errorFromCall(failed: StatusObject, header: Headers | undefined): ConnectError {
  const error = errorFromStatus(failed, header);
  if (isEmpty(failed.metadata)) {
    bare.add(error);
  }
  return error;
}

/**
 * Whether a call's status came without metadata of its own. The channel's are all so, and of servers' only those that end
 * a response whose headers had been sent already: else they have headers beside them.
 */
export function isBareStatus(error: ConnectError): boolean {
  return bare.has(error);
}
