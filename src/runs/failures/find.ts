import { ConnectError } from "@connectrpc/connect";
import type { Failure } from "../../../gen/retake/v1/run_pb.js";
import { codeName, failureFromConnectError } from "../failure.ts";
import { msFromDuration } from "../time.ts";
import { engineMessage, findEngineError } from "./engine-errors.ts";
import { reasonOfErrorCode } from "./error-codes.ts";
import { findErrorType } from "./error-types.ts";
import { type Finding, finding } from "./finding.ts";
import { readGrpcStatus } from "./grpc-status.ts";
import { findHttpStatus } from "./http-status.ts";
import { reasonOfMessage } from "./messages.ts";
import { readProperty, readText } from "./read-property.ts";
import { restated } from "./restated.ts";
import { reasonOfSqliteCode } from "./sqlite-codes.ts";

/** What is known of one error, by its codes and types; its causes are others. */
export function findByType(error: unknown, nowMs: number): Finding | undefined {
  const status = error instanceof ConnectError ? error : readGrpcStatus(error);
  if (status !== undefined) {
    return ofStatus(failureFromConnectError(status, nowMs));
  }
  return findEngineError(error) ?? findErrorCode(error) ?? findHttpStatus(error, nowMs) ?? findErrorType(error);
}

/** What is known of one error by its words, where there is nothing better. */
export function findByMessage(error: unknown): Finding | undefined {
  const texts =
    typeof error === "string" ? [error] : [readText(error, "message"), engineMessage(error), readText(error, "stderr")];
  for (const text of texts) {
    const reason = reasonOfMessage(text);
    if (reason !== undefined) {
      return finding(reason, "");
    }
  }
  return undefined;
}

function findErrorCode(error: unknown): Finding | undefined {
  const code = readText(error, "code");
  if (code === "ERR_SQLITE_ERROR") {
    const errcode = readProperty(error, "errcode");
    return finding(reasonOfSqliteCode(typeof errcode === "number" ? errcode : 0), code);
  }
  if (code === "ENOENT" && readText(error, "syscall").startsWith("spawn")) {
    return finding("COMMAND_NOT_FOUND", code);
  }
  const reason = reasonOfErrorCode(code);
  return reason === undefined ? undefined : finding(reason, code);
}

/** What another server said to the handler is no answer of ours: its codes may mean something else to our callers. */
function ofStatus(failure: Failure): Finding {
  const { code, category, severity, reason, retryable, retryDelay, final } = failure;
  const sourceCode = codeName(code);
  const other = restated(code);
  return {
    ...{ code, category, severity, reason, sourceCode, text: `the other side answered ${sourceCode}` },
    ...other,
    ...{ retryable: other === undefined ? retryable : other.retryable && !final, final },
    ...(retryDelay !== undefined && { retryDelayMs: msFromDuration(retryDelay) }),
  };
}
