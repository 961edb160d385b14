import { plainText } from "./plain-text.ts";

/** Why a server cannot be reached, as grpc-js puts it, in words for people. */
export function connectionProblem(message: string): string {
  if (message.includes("ECONNREFUSED")) return "nothing listens there";
  if (/ENOTFOUND|Name resolution failed/.test(message)) return "its name is unknown";
  return plainText(
    message.replace(/^No connection established\. Last error: /, "").replace(/\s*Resolution note:\s*$/, ""),
  );
}
