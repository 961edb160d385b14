import type { Message, MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { Quality } from "../../gen/retake/v1/options_pb.js";
import { createError } from "../runs/index.ts";
import type { Backend, BackendCall } from "./backend.ts";

/** A gRPC server that implements the contract itself, in whatever language. */
export function createRemoteBackend(transport: Transport, endpoint: string, close: () => void): Backend {
  return {
    call(call) {
      return call.workflow.streaming ? stream(transport, endpoint, call) : unary(transport, endpoint, call);
    },
    close,
  };
}

async function unary(transport: Transport, endpoint: string, call: BackendCall): Promise<Message> {
  const { method } = call.workflow;
  try {
    if (method.methodKind !== "unary") {
      throw new TypeError(`${call.workflow.name} is not unary`);
    }
    const { signal, timeoutMs } = call.context;
    const response = await transport.unary(
      method,
      signal,
      timeoutMs(),
      headersOf(call),
      call.message as MessageInitShape<typeof method.input>,
    );
    return response.message;
  } catch (error) {
    throw backendError(error, endpoint);
  }
}

async function* stream(transport: Transport, endpoint: string, call: BackendCall): AsyncIterable<Message> {
  const { method } = call.workflow;
  try {
    if (method.methodKind !== "server_streaming") {
      throw new TypeError(`${call.workflow.name} is not streaming`);
    }
    const { signal, timeoutMs } = call.context;
    const response = await transport.stream(method, signal, timeoutMs(), headersOf(call), once(call.message));
    yield* response.message;
  } catch (error) {
    throw backendError(error, endpoint);
  }
}

async function* once(message: Message): AsyncIterable<Message> {
  yield message;
}

/** What a back-end is told of the run; see the README, "Back-ends". */
function headersOf({ context, attempt }: BackendCall): Headers {
  const headers = new Headers(context.requestHeader);
  const { run } = context;
  headers.set("retake-run-id", run.runId);
  headers.set("retake-attempt", String(attempt.number));
  headers.set("retake-attempt-token", attempt.token);
  headers.set("retake-quality", Quality[run.quality]);
  headers.set("retake-owner", `${encodeURIComponent(run.owner.tenant)}/${encodeURIComponent(run.owner.subject)}`);
  headers.set("idempotency-key", run.idempotencyKey);
  if (run.traceparent !== "") {
    headers.set("traceparent", run.traceparent);
  }
  return headers;
}

/** Codes that mean something else to our callers than to us. */
function backendError(error: unknown, endpoint: string): unknown {
  if (!(error instanceof ConnectError)) {
    return error;
  }
  switch (error.code) {
    case Code.Unauthenticated:
      return createError(
        Code.Internal,
        "BACKEND_CREDENTIALS",
        `the back-end ${endpoint} refuses the server's own credentials: ${error.rawMessage}`,
        { cause: error },
      );
    case Code.DeadlineExceeded:
      return createError(Code.Unavailable, "BACKEND_TIMEOUT", `the back-end ${endpoint} ran out of time`, {
        cause: error,
      });
    default:
      return error;
  }
}
