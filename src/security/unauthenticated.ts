import { Code, type ConnectError } from "@connectrpc/connect";
import { createError } from "../runs/index.ts";

/** Credentials that are not taken. Over HTTP it says what would be. */
export function unauthenticated(reason: string, message: string, options?: { readonly cause?: unknown }): ConnectError {
  const error = createError(Code.Unauthenticated, reason, message, options);
  error.metadata.set("www-authenticate", "Bearer");
  return error;
}
