import type { ConnectError } from "@connectrpc/connect";
import { createError } from "../runs/index.ts";

/** Codes and reasons tell nothing: back-ends and handlers answer with the same ones, and with what callers send. */
const denials = new WeakSet<object>();

/** As `createError`, for what this server itself does not let a caller do: it goes on record as denied. */
export function createDenial(...error: Parameters<typeof createError>): ConnectError {
  const denial = createError(...error);
  denials.add(denial);
  return denial;
}

export function isDenial(error: unknown): boolean {
  return typeof error === "object" && error !== null && denials.has(error);
}
