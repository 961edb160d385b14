import { Code } from "@connectrpc/connect";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import { FailureSeverity } from "../../../gen/retake/v1/run_pb.js";
import { type Finding, finding } from "./finding.ts";
import { readProperty, readText } from "./read-property.ts";
import { retryAfterMs } from "./retry-after.ts";

/**
 * gRPC's codes for HTTP's (google/rpc/code.proto); 429 is what gRPC's http-grpc-status-mapping.md has it be. A request that
 * was wrong or too large (400, 413, 416, 422) was the handler's, so that its caller is not told INVALID_ARGUMENT; but it
 * follows from what the caller sent, and says nothing of whoever refuses it: FAILED_PRECONDITION, like what is not listed.
 */
const codes: ReadonlyMap<number, Code> = new Map([
  [404, Code.NotFound],
  [408, Code.Unavailable],
  [409, Code.Aborted],
  [410, Code.NotFound],
  [412, Code.FailedPrecondition],
  [421, Code.Unavailable],
  [423, Code.Aborted],
  [425, Code.Unavailable],
  [429, Code.Unavailable],
  [499, Code.Aborted],
  [501, Code.Unimplemented],
  [502, Code.Unavailable],
  [503, Code.Unavailable],
  [504, Code.Unavailable],
  [505, Code.Unimplemented],
  [511, Code.Unavailable],
]);

/** The first status that no standard has: proxies say with them that they cannot reach, or are not let through. */
const firstOfProxies = 520;

/** What the HTTP answer says that was thrown, or that an error carries: its status, and its `Retry-After`. */
export function findHttpStatus(error: unknown, nowMs: number): Finding | undefined {
  const status = statusOf(error);
  if (status === undefined) {
    return undefined;
  }
  const found = findingOf(status);
  const asked = header(error, "retry-after");
  const retryDelayMs = asked === undefined ? undefined : retryAfterMs(asked, nowMs);
  return retryDelayMs === undefined ? found : { ...found, retryDelayMs };
}

function findingOf(status: number): Finding {
  if (status === 401 || status === 403 || status === 407) {
    return finding("BACKEND_CREDENTIALS", String(status));
  }
  if (status === 507) {
    return finding("DISK_FULL", String(status));
  }
  const code =
    codes.get(status) ??
    (status >= firstOfProxies ? Code.Unavailable : status >= 500 ? Code.Internal : Code.FailedPrecondition);
  const away = code === Code.Unavailable;
  return {
    reason: `HTTP_${status}`,
    sourceCode: String(status),
    code,
    category:
      status === 429 || status === 500
        ? FailureCategory.SYSTEM
        : away
          ? FailureCategory.NETWORK
          : FailureCategory.WORKFLOW,
    severity: away || code === Code.Aborted ? FailureSeverity.MEDIUM : FailureSeverity.HIGH,
    retryable: away || code === Code.Aborted || (code === Code.Internal && status >= 500),
    text: `the other side answered HTTP status ${status}`,
  };
}

/** Where fetch, Fastify, axios, got, undici and the AWS SDK keep it. */
function statusOf(error: unknown): number | undefined {
  const response = readProperty(error, "response");
  const candidates = [
    readProperty(error, "status"),
    readProperty(error, "statusCode"),
    readProperty(response, "status"),
    readProperty(response, "statusCode"),
    readProperty(readProperty(error, "$metadata"), "httpStatusCode"),
  ];
  return candidates.find(
    (status): status is number => Number.isInteger(status) && Number(status) >= 400 && Number(status) < 600,
  );
}

function header(error: unknown, name: string): string | undefined {
  for (const holder of [error, readProperty(error, "response"), readProperty(error, "$response")]) {
    const headers = readProperty(holder, "headers");
    const get = readProperty(headers, "get");
    if (typeof get === "function") {
      try {
        const value: unknown = get.call(headers, name);
        if (typeof value === "string") {
          return value;
        }
      } catch {
        // No headers that we know.
      }
    }
    const plain = readProperty(headers, name);
    const value = Array.isArray(plain) ? plain[0] : (plain ?? readText(headers, "Retry-After"));
    if (typeof value === "number" || (typeof value === "string" && value !== "")) {
      return String(value);
    }
  }
  return undefined;
}
