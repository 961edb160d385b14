import type { Message, MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { FailureCategory, Quality } from "../../gen/retake/v1/options_pb.js";
import type { Clock } from "../clock.ts";
import { channelError, failureFromConnectError } from "../runs/index.ts";
import { keptTraceFields } from "../trace-fields.ts";
import { isBareStatus } from "../transport/index.ts";
import type { Backend, BackendCall } from "./backend.ts";
import type { BackendCallMetrics } from "./call-metrics.ts";

/** What is told of calls to those who watch over them. */
export interface BackendTelemetry {
  /** Absent where calls are not measured. */
  readonly metrics?: BackendCallMetrics;
  /** What a back-end is told of the trace that it is called in. Default: what the run's caller has said. */
  readonly traceparent?: (runId: string, attempt: number, traceparent: string) => string;
}

export interface RemoteBackendOptions {
  readonly clock: Pick<Clock, "monotonic" | "now">;
  readonly telemetry?: BackendTelemetry | undefined;
  /** Called when a call has failed UNAVAILABLE: the endpoint may be gone. */
  onUnavailable(): void;
  /** Called when the endpoint has answered. */
  onSuccess(): void;
  /** Called when a call of the service has failed in a way that speaks against the endpoint. */
  onFailure(service: string): void;
}

/** A gRPC server that implements the contract itself, in whatever language. */
export function createRemoteBackend(
  transport: Transport,
  endpoint: string,
  options: RemoteBackendOptions,
): Pick<Backend, "call"> {
  const { clock, telemetry } = options;
  const record = (call: BackendCall, startMs: number, error: unknown): void => {
    const cell = telemetry?.metrics?.cellOf(call.workflow.name, endpoint, error);
    if (cell === undefined) return;
    const nowMs = clock.monotonic();
    const seconds = (nowMs - startMs) / 1000;
    if (!cell.isExemplarDue(nowMs)) {
      cell.record(seconds);
      return;
    }
    const { trace_id: traceId, span_id: spanId } = keptTraceFields(traceparentOf(call, telemetry));
    cell.record(seconds, clock.now(), traceId, call.context.run.runId, spanId);
  };
  const end: CallEnd = {
    started: () => clock.monotonic(),
    headers: (call) => headersOf(call, telemetry),
    succeeded(call, startMs) {
      record(call, startMs, undefined);
      options.onSuccess();
    },
    failed(error, call, startMs) {
      const { context, workflow } = call;
      const { signal } = context;
      const cause: unknown = signal.aborted ? signal.reason : error;
      record(call, startMs, cause);
      if (cause instanceof ConnectError) {
        // One that was cut off is UNAVAILABLE as well, and its endpoint may be there.
        if (cause.code === Code.Unavailable && !signal.aborted) {
          options.onUnavailable();
        }
        if (signal.aborted ? cause.code === Code.Unavailable : speaksAgainst(cause)) {
          options.onFailure(workflow.service.typeName);
        }
      }
      // Where the back-end is is nobody's business out there.
      return (error instanceof ConnectError && isBareStatus(error) ? channelError(error) : undefined) ?? error;
    },
  };
  return {
    call(call) {
      return call.workflow.streaming ? stream(transport, call, end) : unary(transport, call, end);
    },
  };
}

/** Codes that speak against the endpoint, and not against the request or the moment. */
const telling: ReadonlySet<Code> = new Set([
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.ResourceExhausted,
  Code.Unimplemented,
  Code.Internal,
  Code.Unavailable,
  Code.DataLoss,
  Code.Unauthenticated,
]);

/** Others of the service may have the model that this one has not. */
function speaksAgainst(error: ConnectError): boolean {
  return telling.has(error.code) || failureFromConnectError(error).category === FailureCategory.MODEL;
}

interface CallEnd {
  /** When, by the monotonic clock. */
  started(): number;
  headers(call: BackendCall): Headers;
  succeeded(call: BackendCall, startMs: number): void;
  /** The error that the attempt ends with. */
  failed(error: unknown, call: BackendCall, startMs: number): unknown;
}

async function unary(transport: Transport, call: BackendCall, end: CallEnd): Promise<Message> {
  const { method } = call.workflow;
  const startMs = end.started();
  try {
    if (method.methodKind !== "unary") {
      throw new TypeError(`${call.workflow.name} is not unary`);
    }
    const { signal, timeoutMs } = call.context;
    const response = await transport.unary(
      method,
      signal,
      timeoutMs(),
      end.headers(call),
      call.message as MessageInitShape<typeof method.input>,
    );
    end.succeeded(call, startMs);
    return response.message;
  } catch (error) {
    throw end.failed(error, call, startMs);
  }
}

async function* stream(transport: Transport, call: BackendCall, end: CallEnd): AsyncIterable<Message> {
  const { method } = call.workflow;
  const startMs = end.started();
  try {
    if (method.methodKind !== "server_streaming") {
      throw new TypeError(`${call.workflow.name} is not streaming`);
    }
    const { signal, timeoutMs } = call.context;
    const response = await transport.stream(method, signal, timeoutMs(), end.headers(call), once(call.message));
    yield* response.message;
    end.succeeded(call, startMs);
  } catch (error) {
    throw end.failed(error, call, startMs);
  }
}

async function* once(message: Message): AsyncIterable<Message> {
  yield message;
}

/** What a back-end is told of the run; see the README, "Back-ends". */
function headersOf(call: BackendCall, telemetry: BackendTelemetry | undefined): Headers {
  const { context, attempt } = call;
  const headers = new Headers(context.requestHeader);
  const { run } = context;
  headers.set("retake-run-id", run.runId);
  headers.set("retake-attempt", String(attempt.number));
  headers.set("retake-attempt-token", attempt.token);
  headers.set("retake-quality", Quality[run.quality]);
  headers.set("retake-owner", `${encodeURIComponent(run.owner.tenant)}/${encodeURIComponent(run.owner.subject)}`);
  headers.set("idempotency-key", run.idempotencyKey);
  const traceparent = traceparentOf(call, telemetry);
  if (traceparent !== "") {
    headers.set("traceparent", traceparent);
  }
  return headers;
}

function traceparentOf({ context: { run }, attempt }: BackendCall, telemetry: BackendTelemetry | undefined): string {
  return telemetry?.traceparent?.(run.runId, attempt.number, run.traceparent) ?? run.traceparent;
}
