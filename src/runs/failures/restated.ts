import { Code } from "@connectrpc/connect";
import { codeName } from "../failure.ts";
import { type Finding, finding } from "./finding.ts";

/**
 * What another server's code means to our callers, where that is not what it says: they are known and in time, so that it
 * is ours that has no right, and its time that is over.
 */
export function restated(code: Code): Finding | undefined {
  switch (code) {
    case Code.Unauthenticated:
      return finding("BACKEND_CREDENTIALS", codeName(code));
    case Code.DeadlineExceeded:
      return finding("BACKEND_TIMEOUT", codeName(code));
    default:
      return undefined;
  }
}
