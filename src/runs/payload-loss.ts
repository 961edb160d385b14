import { Code, ConnectError } from "@connectrpc/connect";
import { PayloadDamagedError } from "./ports/payloads.ts";

/** Whether a payload that could not be read is gone for good; else reading it again may help. */
export function isLost(error: unknown): boolean {
  return error instanceof PayloadDamagedError || (error instanceof ConnectError && error.code === Code.DataLoss);
}
