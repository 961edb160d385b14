import type { StreamRequest } from "@connectrpc/connect";

/** The same request with other messages. Copies the request's getters instead of calling them: headers, signal and context values are built when asked for. */
export function withMessages(request: StreamRequest, message: StreamRequest["message"]): StreamRequest {
  const properties = { ...Object.getOwnPropertyDescriptors(request), message: { value: message, enumerable: true } };
  return Object.defineProperties({}, properties) as StreamRequest;
}
