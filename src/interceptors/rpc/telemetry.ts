import { type DescMethod, isMessage, type Message } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type Interceptor,
  type StreamRequest,
  type StreamResponse,
  type UnaryRequest,
} from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { FailureSchema } from "../../../gen/retake/v1/run_pb.js";
import { StartRunResponseSchema } from "../../../gen/retake/v1/run_service_pb.js";
import { callDurationBounds } from "../../call-duration-bounds.ts";
import type { Clock } from "../../clock.ts";
import type { HistogramCell, HistogramFamily, Instruments, NumberFamily } from "../../instruments.ts";
import { codeName } from "../../runs/index.ts";
import { keptTraceFields } from "../../trace-fields.ts";
import { passMessages, same } from "../../transport/index.ts";

const callAttributes: readonly string[] = ["rpc.system.name", "rpc.method", "rpc.status_code", "error.type"];

/** What kind of protocol a call came by, as the semantic conventions name it. gRPC-Web is gRPC. */
export type RpcSystem = "grpc" | "connectrpc";

/** By which of them a call came in that came over HTTP. */
export function webSystem(header: Headers): RpcSystem {
  return header.get("content-type")?.startsWith("application/grpc") === true ? "grpc" : "connectrpc";
}

/** Codes that are the server's fault; others are the caller's. */
const serverErrors: ReadonlySet<Code> = new Set([
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.Unimplemented,
  Code.Internal,
  Code.Unavailable,
  Code.DataLoss,
]);

/** What the semantic conventions call all methods that a server does not have: their names are made up by callers. */
const unknownMethod = "_OTHER";

/** Callers may send long ones. */
const mostOfName = 256;

/** Why no run was accepted. */
const refusals: ReadonlySet<string> = new Set(["QUEUE_FULL", "INPUT_QUOTA", "OVERLOADED", "DRAINING", "JOURNAL"]);

/** The series of calls, which all fronts share. */
export class CallMetrics {
  readonly #duration: HistogramFamily;
  readonly #refused: NumberFamily;
  readonly #unauthenticated: NumberFamily;
  readonly #denied: NumberFamily;
  readonly #succeeded = new Map<RpcSystem, Map<DescMethod, HistogramCell>>();

  constructor(instruments: Instruments) {
    this.#duration = instruments.histogram(
      {
        name: "rpc.server.call.duration",
        unit: "s",
        description: "How long calls took, until their last message was sent.",
        attributes: callAttributes,
      },
      callDurationBounds,
    );
    this.#refused = instruments.counter({
      ...{ name: "retake.runs.refused", unit: "{run}", attributes: ["reason"] },
      description: "Runs that were not accepted.",
    });
    this.#unauthenticated = instruments.counter({
      ...{ name: "retake.authentication.failures", unit: "{failure}", attributes: ["reason"] },
      description: "Calls whose credentials are wrong, or missing, those of locked-out callers among them.",
    });
    this.#denied = instruments.counter({
      ...{ name: "retake.access.denied", unit: "{call}" },
      description: "Calls of those who may not make them.",
    });
  }

  /** The series of calls that succeed: the one that is needed for nearly every call. */
  succeeded(system: RpcSystem, method: DescMethod): HistogramCell {
    let byMethod = this.#succeeded.get(system);
    if (byMethod === undefined) {
      byMethod = new Map();
      this.#succeeded.set(system, byMethod);
    }
    let cell = byMethod.get(method);
    if (cell === undefined) {
      cell = this.#duration.of(system, methodName(method), "OK", "");
      byMethod.set(method, cell);
    }
    return cell;
  }

  /** Of calls of methods that there are not: one for each system, whatever they are called. */
  unknown(system: RpcSystem): HistogramCell {
    const name = codeName(Code.Unimplemented);
    return this.#duration.of(system, unknownMethod, name, name);
  }

  /** Of calls that were refused before an interceptor saw them. */
  refused(system: RpcSystem, method: string, code: Code): HistogramCell {
    const name = codeName(code);
    return this.#duration.of(system, method, name, serverErrors.has(code) ? name : "");
  }

  failed(system: RpcSystem, method: DescMethod, error: unknown): HistogramCell {
    const code = error instanceof ConnectError ? error.code : Code.Unknown;
    if (error instanceof ConnectError) this.#countRefusal(error);
    return this.refused(system, methodName(method), code);
  }

  #countRefusal(error: ConnectError): void {
    const isOwn = error.code === Code.Unauthenticated || error.code === Code.PermissionDenied;
    if (!isOwn && error.code !== Code.Unavailable && error.code !== Code.ResourceExhausted) return;
    // What a run failed with is no refusal, whatever its reason says.
    if (error.findDetails(FailureSchema).length > 0) return;
    const reason = error.findDetails(ErrorInfoSchema)[0]?.reason ?? "";
    // Whoever is locked out goes on trying: a flood from one address would not be seen otherwise.
    if (error.code === Code.Unauthenticated || reason === "LOCKED_OUT") this.#unauthenticated.of(reason).value++;
    else if (error.code === Code.PermissionDenied) this.#denied.of().value++;
    else if (refusals.has(reason)) this.#refused.of(reason).value++;
  }
}

/** A call that has ended, for its span. */
export interface EndedCall {
  readonly system: RpcSystem;
  /** `package.Service/Method`; `_OTHER` where there is none of the name that was called. */
  readonly method: string;
  /** That name. */
  readonly calledMethod?: string;
  readonly statusCode: string;
  /** Empty unless the server is at fault. */
  readonly errorType: string;
  readonly message: string;
  /** Whom its caller meant to call, by `:authority` or `Host`: whatever callers say there. Undefined where that is not known. */
  readonly authority?: string;
  /** The run that it was about; empty where that is not known. */
  readonly runId: string;
  readonly seconds: number;
}

export interface CallSpan {
  end(call: EndedCall): void;
}

/** Makes spans of calls. */
export interface CallSpans {
  /**
   * A call has come in. Its header tells from now on that what follows is part of it. Undefined where nobody keeps that.
   * @param nowMs by the monotonic clock
   */
  begin(header: Headers, nowMs: number): CallSpan | undefined;
}

/**
 * Measures calls, and makes spans of them, as the semantic conventions of OpenTelemetry (v1.44) say. To be the outermost.
 */
export function telemetry(options: {
  /** Absent where nothing is measured. */
  readonly metrics?: CallMetrics | undefined;
  /** Absent where traces go nowhere. */
  readonly spans?: CallSpans | undefined;
  /** The protocol, by the header of a request. */
  readonly system: (header: Headers) => RpcSystem;
  readonly clock: Clock;
}): Interceptor {
  const { metrics, spans, clock } = options;
  const record = (
    cell: HistogramCell,
    nowMs: number,
    seconds: number,
    header: Headers,
    answer: Headers | undefined,
    message?: Message,
  ): void => {
    if (!cell.isExemplarDue(nowMs)) {
      cell.record(seconds);
      return;
    }
    const { trace_id: traceId = "", span_id: spanId = "" } = keptTraceFields(header.get("traceparent"));
    cell.record(seconds, clock.now(), traceId, answer?.get("retake-run-id") ?? runIdIn(message), spanId);
  };
  const succeeded = (
    { method, header, url }: Call,
    answer: Headers,
    startMs: number,
    span: CallSpan | undefined,
    message?: Message,
  ): void => {
    const nowMs = clock.monotonic();
    const seconds = (nowMs - startMs) / 1000;
    const system = options.system(header);
    if (metrics !== undefined) record(metrics.succeeded(system, method), nowMs, seconds, header, answer, message);
    span?.end({
      ...{ system, method: methodName(method), statusCode: "OK", errorType: "", message: "", seconds },
      authority: authorityOf(header, url),
      runId: answer.get("retake-run-id") ?? runIdIn(message),
    });
  };
  const failed = (
    { method, header, url }: Call,
    error: unknown,
    startMs: number,
    span: CallSpan | undefined,
  ): unknown => {
    const nowMs = clock.monotonic();
    const seconds = (nowMs - startMs) / 1000;
    const system = options.system(header);
    const answer = error instanceof ConnectError ? error.metadata : undefined;
    if (metrics !== undefined) record(metrics.failed(system, method, error), nowMs, seconds, header, answer);
    const code = error instanceof ConnectError ? error.code : Code.Unknown;
    const statusCode = codeName(code);
    span?.end({
      ...{ system, method: methodName(method), statusCode, seconds },
      authority: authorityOf(header, url),
      errorType: serverErrors.has(code) ? statusCode : "",
      message: error instanceof ConnectError ? error.rawMessage : "",
      runId: answer?.get("retake-run-id") ?? "",
    });
    return error;
  };
  // Made here, since what is made inside of a call holds all the call's interceptors for as long as the stream is open.
  const streamed = (call: Call, answer: Headers, startMs: number, span: CallSpan | undefined) => ({
    map: same<Message>,
    // A stream's end, and its errors, come while it is read.
    ended: () => succeeded(call, answer, startMs, span),
    failed: (error: unknown) => failed(call, error, startMs, span),
    left: () => failed(call, whyLeft(call.signal), startMs, span),
  });
  return (next) => (request) => {
    const startMs = clock.monotonic();
    const span = spans?.begin(request.header, startMs);
    const fail = (error: unknown): never => {
      failed(request, error, startMs, span);
      throw error;
    };
    return next(request).then((response) => {
      if (!response.stream) {
        succeeded(request, response.header, startMs, span, response.message);
        return response;
      }
      const message = passMessages(response.message, streamed(request, response.header, startMs, span));
      return { ...streamParts(response), message };
    }, fail);
  };
}

/** Measures a call of a method that there is not, by its path: it comes to no interceptor. */
export function countUnknownCall(
  { metrics, spans, system, clock }: Parameters<typeof telemetry>[0],
  path: string,
  header: Headers,
): void {
  const by = system(header);
  metrics?.unknown(by).record(0);
  const name = codeName(Code.Unimplemented);
  const message = "there is no such method";
  spans?.begin(header, clock.monotonic())?.end({
    ...{ system: by, method: unknownMethod, statusCode: name, errorType: name, message, runId: "", seconds: 0 },
    authority: header.get("host") ?? "",
    calledMethod: path.slice(1, mostOfName + 1).toWellFormed(),
  });
}

/** Measures a call of a method that there is, which was refused for what it is: it comes to no interceptor either. */
export function countRefusedCall(
  { metrics, spans, system, clock }: Parameters<typeof telemetry>[0],
  { path, code, message, header }: RefusedCall,
): void {
  const by = system(header);
  const method = path.slice(1);
  metrics?.refused(by, method, code).record(0);
  const statusCode = codeName(code);
  spans?.begin(header, clock.monotonic())?.end({
    ...{ system: by, method, statusCode, message, runId: "", seconds: 0 },
    errorType: serverErrors.has(code) ? statusCode : "",
    authority: header.get("host") ?? "",
  });
}

export interface RefusedCall {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly code: Code;
  readonly message: string;
  readonly header: Headers;
}

type Call = Pick<UnaryRequest | StreamRequest, "method" | "header" | "url" | "signal">;

/** Whoever stops reading a stream has cancelled its call, unless the call's time is over. */
function whyLeft({ aborted, reason }: AbortSignal): ConnectError {
  return aborted && reason instanceof ConnectError
    ? reason
    : new ConnectError("the caller has cancelled the call", Code.Canceled);
}

/** That of a call over HTTP/1.1 is in its header alone: its URL names us. */
function authorityOf(header: Headers, url: string): string {
  const host = header.get("host");
  if (host !== null) return host;
  const start = url.indexOf("://") + 3;
  const end = url.indexOf("/", start);
  return url.slice(start, end < 0 ? undefined : end);
}

/** Empty unless it is the answer to those who start a run without waiting for it. */
function runIdIn(message: Message | undefined): string {
  return isMessage(message, StartRunResponseSchema) ? (message.run?.runId ?? "") : "";
}

function streamParts({ service, method, header, trailer }: StreamResponse): Omit<StreamResponse, "message"> {
  return { stream: true, service, method, header, trailer };
}

function methodName({ parent, name }: DescMethod): string {
  return `${parent.typeName}/${name}`;
}
