import {
  Code,
  ConnectError,
  type Interceptor,
  type StreamRequest,
  type StreamResponse,
  type UnaryRequest,
} from "@connectrpc/connect";
import type { Clock, RandomSource } from "../../clock.ts";
import {
  classifyError,
  createError,
  errorFromFailure,
  JournalUnavailableError,
  journalUnavailable,
  type Logger,
} from "../../runs/index.ts";
import { traceFields } from "../../trace-fields.ts";
import { passMessages, same } from "../../transport/index.ts";

/**
 * Makes every error one that callers can use: a ConnectError goes through, trouble with the journal is UNAVAILABLE, and
 * anything else becomes INTERNAL with a reference id under which the log has its stack.
 */
export function errors(options: {
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
  /** Is told of each error that a call ends with, as its caller sees it. */
  readonly onError?: (error: ConnectError, request: AnyRequest) => void;
}): Interceptor {
  const { onError } = options;
  const translate = (error: unknown, request: AnyRequest): ConnectError => {
    const translated = connectError(error, request);
    onError?.(translated, request);
    return translated;
  };
  const connectError = (error: unknown, request: AnyRequest): ConnectError => {
    if (error instanceof ConnectError) {
      return error;
    }
    if (error instanceof JournalUnavailableError) {
      return journalUnavailable(error);
    }
    if (error instanceof DOMException && error.name === "AbortError") {
      return createError(Code.Canceled, "CANCELLED", "the call was cancelled");
    }
    const method = `${request.service.typeName}/${request.method.name}`;
    const { failure } = classifyError(error, options.random, options.clock.now());
    const fields = traceFields(request.header.get("traceparent"));
    options.log.error(
      { event: "rpc.server.call.exception", err: error, method, referenceId: failure.referenceId, ...fields },
      "a call failed unexpectedly",
    );
    return errorFromFailure(failure);
  };
  // Made here, since what is made inside of a call holds all the call's interceptors for as long as the stream is open.
  const translatedStream = (response: StreamResponse, request: AnyRequest): StreamResponse =>
    translated(response, (error) => translate(error, request));
  return (next) => (request) => {
    return next(request).then(
      (response) => (response.stream ? translatedStream(response, request) : response),
      (error: unknown) => {
        throw translate(error, request);
      },
    );
  };
}

type AnyRequest = UnaryRequest | StreamRequest;

/** A stream's errors come while it is read. */
function translated(response: StreamResponse, translate: (error: unknown) => ConnectError): StreamResponse {
  return {
    stream: true,
    service: response.service,
    method: response.method,
    header: response.header,
    trailer: response.trailer,
    message: passMessages(response.message, { map: same, failed: translate }),
  };
}
