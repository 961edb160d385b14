import type { Message } from "@bufbuild/protobuf";
import type { StreamRequest } from "@connectrpc/connect";
import { passMessages } from "../../transport/index.ts";

/**
 * A streaming request with other messages. Copies the request's getters instead of calling them: headers, signal and
 * context values are built when asked for.
 */
export function withMessages(request: StreamRequest, message: StreamRequest["message"]): StreamRequest {
  const properties = { ...Object.getOwnPropertyDescriptors(request), message: { value: message, enumerable: true } };
  return Object.defineProperties({}, properties) as StreamRequest;
}

/** A streaming request each of whose messages is checked when it is read; what the check throws ends the stream. */
export function withCheckedMessages(request: StreamRequest, check: (message: Message) => void): StreamRequest {
  const map = (message: Message): Message => {
    check(message);
    return message;
  };
  return withMessages(request, passMessages(request.message, { map }));
}
