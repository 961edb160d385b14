import { create, fromBinary, fromJsonString, toBinary } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { Code, ConnectError } from "@connectrpc/connect";
import { Metadata } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../../gen/google/rpc/status_pb.js";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import { FailureSchema, FailureSeverity } from "../../../gen/retake/v1/run_pb.js";
import { createError, errorFromFailure, isHopeless } from "../../../src/runs/failure.ts";
import { isBackendsFailure, isCallersMistake } from "../../../src/runs/failures/callers-mistake.ts";
import { classifyError } from "../../../src/runs/failures/classify.ts";
import { fail } from "../../../src/runs/failures/fail.ts";
import { messagePatterns } from "../../../src/runs/failures/messages.ts";
import { JournalUnavailableError } from "../../../src/runs/ports/journal.ts";
import { durationFromMs, msFromDuration } from "../../../src/runs/time.ts";
import { createSeededRandom } from "../../../src/testing/index.ts";
import { PlainRequestSchema } from "../../gen/retake/test/v1/workflows_pb.js";
import {
  answerOf,
  fetchFrom,
  fetchRefused,
  fetchUntrusted,
  fillWorkerHeap,
  lookUp,
  readMissing,
  run,
  thrownBy,
  withResponseCode,
  writeFull,
} from "./provoke.ts";

const nowMs = Date.parse("2026-11-27T12:00:00Z");

function classify(error: unknown) {
  return classifyError(error, createSeededRandom(1), nowMs);
}

/** An error as Node makes them. */
function coded(code: string, message = `secret ${code}`, more: object = {}): Error {
  return Object.assign(new Error(message), { code, ...more });
}

/** An undici error in the wrapper of fetch. */
function fetchFailed(cause: unknown): TypeError {
  return new TypeError("fetch failed", { cause });
}

function comfy(exception_type: string, exception_message: string, node_type = "KSampler"): object {
  return {
    prompt_id: "a",
    node_id: "3",
    node_type,
    executed: [],
    exception_message,
    exception_type,
    traceback: ["/secret/path"],
    current_inputs: { text: ["secret"] },
  };
}

function refused(type: string, message: string, node_errors: object = {}): object {
  return { error: { type, message, details: "", extra_info: {} }, node_errors };
}

function notInList(input_name: string): object {
  const extra_info = { input_name, input_config: [[]], received_value: "x" };
  return { 1: { class_type: "UNETLoader", errors: [{ type: "value_not_in_list", message: "", extra_info }] } };
}

function http(status: number, headers: Record<string, string> = {}): Response {
  return new Response("secret", { status, headers });
}

function grpcJs(code: number, details: string, metadata = new Metadata()): Error {
  return Object.assign(new Error(`${code} X: ${details}`), { code, details, metadata });
}

function niceGrpc(code: number): Error {
  const error = Object.assign(new Error("/a.B/C X: secret"), { path: "/a.B/C", code, details: "secret" });
  error.name = "ClientError";
  return Object.defineProperty(error, "@@nice-grpc", { value: true });
}

const { Unavailable, ResourceExhausted, Internal, InvalidArgument, FailedPrecondition, Aborted, DataLoss } = Code;

/** What was thrown, then code, category, reason and whether another attempt may help. */
type Row = readonly [
  name: string,
  thrown: () => unknown,
  code: Code,
  category: keyof typeof FailureCategory,
  reason: string,
  retryable: boolean,
];

const provoked: readonly Row[] = [
  ["fetch, nobody listens", () => thrownBy(fetchRefused), Unavailable, "NETWORK", "CONNECTION_REFUSED", true],
  [
    "fetch, connection closed before the answer",
    () => thrownBy(() => fetchFrom((socket) => socket.destroy())),
    Unavailable,
    "NETWORK",
    "CONNECTION_LOST",
    true,
  ],
  [
    "fetch, connection closed within the body",
    () => thrownBy(() => fetchFrom((socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc"))),
    Unavailable,
    "NETWORK",
    "CONNECTION_LOST",
    true,
  ],
  [
    "fetch, no HTTP at all",
    () => thrownBy(() => fetchFrom((socket) => socket.end("garbage\r\n\r\n"))),
    Internal,
    "NETWORK",
    "PROTOCOL_ERROR",
    true,
  ],
  [
    "fetch, TLS where there is none",
    () => thrownBy(() => fetchFrom((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"), {}, "https")),
    Unavailable,
    "NETWORK",
    "TLS_FAILED",
    true,
  ],
  [
    "fetch, out of time",
    () => thrownBy(() => fetchFrom(() => undefined, { signal: AbortSignal.timeout(1) })),
    Unavailable,
    "NETWORK",
    "TIMEOUT",
    true,
  ],
  [
    "fetch, aborted",
    () => thrownBy(() => fetchFrom(() => undefined, { signal: AbortSignal.abort() })),
    Aborted,
    "WORKFLOW",
    "ABORTED",
    true,
  ],
  [
    "an HTTP 503",
    () => answerOf((_, response) => response.writeHead(503).end("secret")),
    Unavailable,
    "NETWORK",
    "HTTP_503",
    true,
  ],
  [
    "fetch, a certificate that nobody knows",
    () => thrownBy(fetchUntrusted),
    Unavailable,
    "NETWORK",
    "CERTIFICATE_REJECTED",
    true,
  ],
  [
    "a name that there is not",
    () => thrownBy(() => lookUp(withResponseCode(3))),
    Unavailable,
    "NETWORK",
    "HOST_NOT_FOUND",
    true,
  ],
  [
    "a name server in trouble",
    () => thrownBy(() => lookUp(withResponseCode(2))),
    Unavailable,
    "NETWORK",
    "NAME_LOOKUP_FAILED",
    true,
  ],
  ["a name server that is silent", () => thrownBy(() => lookUp()), Unavailable, "NETWORK", "TIMEOUT", true],
  ["a missing file", () => thrownBy(readMissing), Internal, "WORKFLOW", "FILE_NOT_FOUND", true],
  ["a full disk", () => thrownBy(writeFull), ResourceExhausted, "SYSTEM", "DISK_FULL", true],
  ["a missing program", () => thrownBy(() => run("no-such-program")), Internal, "SYSTEM", "COMMAND_NOT_FOUND", true],
  [
    "a program that fails",
    () => thrownBy(() => run(process.execPath, ["-e", "process.exit(3)"])),
    Internal,
    "WORKFLOW",
    "PROCESS_FAILED",
    true,
  ],
  [
    "a program that is killed",
    () => thrownBy(() => run(process.execPath, ["-e", "process.kill(process.pid, 'SIGKILL')"])),
    Unavailable,
    "SYSTEM",
    "PROCESS_KILLED",
    true,
  ],
  ["the heap of a worker", () => thrownBy(fillWorkerHeap), ResourceExhausted, "MEMORY", "OUT_OF_MEMORY", true],
  ["a huge buffer", () => thrownBy(() => new ArrayBuffer(2 ** 50)), ResourceExhausted, "MEMORY", "OUT_OF_MEMORY", true],
  ["JSON.parse of a page", () => thrownBy(() => JSON.parse("<html>")), Internal, "WORKFLOW", "NOT_JSON", true],
  ["JSON.parse of half", () => thrownBy(() => JSON.parse("{")), Internal, "WORKFLOW", "NOT_JSON", true],
  ["JSON.parse of nothing", () => thrownBy(() => JSON.parse("")), Internal, "WORKFLOW", "NOT_JSON", true],
  [
    "a protobuf message cut short",
    () => thrownBy(() => fromBinary(PlainRequestSchema, new Uint8Array([10, 5, 65]))),
    Internal,
    "WORKFLOW",
    "UNDECODABLE",
    true,
  ],
  [
    "protobuf JSON of another message",
    () => thrownBy(() => fromJsonString(PlainRequestSchema, '{"txt":"a"}')),
    Internal,
    "WORKFLOW",
    "UNDECODABLE",
    true,
  ],
  [
    "protovalidate",
    () =>
      createValidator().validate(PlainRequestSchema, create(PlainRequestSchema, { text: "x".repeat(1_000_001) })).error,
    InvalidArgument,
    "VALIDATION",
    "INVALID",
    false,
  ],
  ["a bug", () => thrownBy(() => (undefined as unknown as { a: 1 }).a), Internal, "WORKFLOW", "PROGRAM_ERROR", true],
  ["endless recursion", () => thrownBy(recurse), Internal, "WORKFLOW", "PROGRAM_ERROR", true],
];

function thrownBySync(work: () => never): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

function recurse(): number {
  return 1 + recurse();
}

const recorded: readonly Row[] = [
  ...(
    [
      ["ECONNREFUSED", "NETWORK", "CONNECTION_REFUSED"],
      ["ECONNRESET", "NETWORK", "CONNECTION_LOST"],
      ["EPIPE", "NETWORK", "CONNECTION_LOST"],
      ["EHOSTUNREACH", "NETWORK", "HOST_UNREACHABLE"],
      ["ENETUNREACH", "NETWORK", "HOST_UNREACHABLE"],
      ["ENOTFOUND", "NETWORK", "HOST_NOT_FOUND"],
      ["EAI_AGAIN", "NETWORK", "NAME_LOOKUP_FAILED"],
      ["ETIMEDOUT", "NETWORK", "TIMEOUT"],
      ["EPROTO", "NETWORK", "TLS_FAILED"],
      ["CERT_HAS_EXPIRED", "NETWORK", "CERTIFICATE_REJECTED"],
      ["DEPTH_ZERO_SELF_SIGNED_CERT", "NETWORK", "CERTIFICATE_REJECTED"],
      ["ERR_TLS_CERT_ALTNAME_INVALID", "NETWORK", "CERTIFICATE_REJECTED"],
      ["ERR_SSL_TLSV1_ALERT_HANDSHAKE_FAILURE", "NETWORK", "TLS_FAILED"],
      ["ERR_HTTP2_GOAWAY_SESSION", "NETWORK", "CONNECTION_LOST"],
      ["ERR_STREAM_PREMATURE_CLOSE", "NETWORK", "CONNECTION_LOST"],
      ["EADDRINUSE", "SYSTEM", "ADDRESS_IN_USE"],
      ["EBUSY", "SYSTEM", "RESOURCE_BUSY"],
    ] as const
  ).map(([code, category, reason]): Row => [code, () => coded(code), Unavailable, category, reason, true]),
  ...(
    [
      ["ENOSPC", "SYSTEM", "DISK_FULL"],
      ["EDQUOT", "SYSTEM", "DISK_FULL"],
      ["EMFILE", "SYSTEM", "TOO_MANY_FILES"],
      ["ENFILE", "SYSTEM", "TOO_MANY_FILES"],
      ["ENOMEM", "MEMORY", "OUT_OF_MEMORY"],
      ["ERR_WORKER_OUT_OF_MEMORY", "MEMORY", "OUT_OF_MEMORY"],
    ] as const
  ).map(([code, category, reason]): Row => [code, () => coded(code), ResourceExhausted, category, reason, true]),
  ["EACCES", () => coded("EACCES"), Internal, "SYSTEM", "FILE_DENIED", true],
  ["EIO", () => coded("EIO"), Internal, "SYSTEM", "IO_FAILED", true],
  ["HPE_INVALID_CONSTANT", () => coded("HPE_INVALID_CONSTANT"), Internal, "NETWORK", "PROTOCOL_ERROR", true],
  ["Z_DATA_ERROR", () => coded("Z_DATA_ERROR"), Internal, "WORKFLOW", "DAMAGED_DATA", true],
  ["ERR_ASSERTION", () => coded("ERR_ASSERTION"), Internal, "WORKFLOW", "PROGRAM_ERROR", true],
  ["ERR_INVALID_URL", () => coded("ERR_INVALID_URL"), Internal, "WORKFLOW", "PROGRAM_ERROR", true],
  ["ERR_STRING_TOO_LONG", () => coded("ERR_STRING_TOO_LONG"), Internal, "WORKFLOW", "TOO_LARGE", false],
  ...(
    [
      ["UND_ERR_CONNECT_TIMEOUT", "TIMEOUT"],
      ["UND_ERR_HEADERS_TIMEOUT", "TIMEOUT"],
      ["UND_ERR_BODY_TIMEOUT", "TIMEOUT"],
      ["UND_ERR_SOCKET", "CONNECTION_LOST"],
    ] as const
  ).map(
    ([code, reason]): Row => [`fetch, ${code}`, () => fetchFailed(coded(code)), Unavailable, "NETWORK", reason, true],
  ),
  [
    "happy eyeballs, every address refused",
    () => fetchFailed(Object.assign(new AggregateError([coded("ECONNREFUSED")], ""), { code: "ECONNREFUSED" })),
    Unavailable,
    "NETWORK",
    "CONNECTION_REFUSED",
    true,
  ],
  [
    "Promise.any, the first that is known",
    () => new AggregateError([new Error("secret"), coded("ENOTFOUND")], "All promises were rejected"),
    Unavailable,
    "NETWORK",
    "HOST_NOT_FOUND",
    true,
  ],
  [
    "an HTTP/2 stream that was refused",
    () => coded("ERR_HTTP2_STREAM_ERROR", "Stream closed with error code NGHTTP2_REFUSED_STREAM"),
    Unavailable,
    "NETWORK",
    "REFUSED_STREAM",
    true,
  ],
  [
    "an HTTP/2 stream that broke the protocol",
    () => coded("ERR_HTTP2_STREAM_ERROR", "Stream closed with error code NGHTTP2_FLOW_CONTROL_ERROR"),
    Internal,
    "NETWORK",
    "PROTOCOL_ERROR",
    true,
  ],
  [
    "an HTTP/2 peer that has had enough",
    () => coded("ERR_HTTP2_STREAM_ERROR", "Stream closed with error code NGHTTP2_ENHANCE_YOUR_CALM"),
    ResourceExhausted,
    "SYSTEM",
    "OVERLOADED",
    true,
  ],
  ...(
    [
      [5, Unavailable, "SYSTEM", "DATABASE_BUSY", true],
      [11, DataLoss, "SYSTEM", "DATABASE_DAMAGED", true],
      [13, ResourceExhausted, "SYSTEM", "DISK_FULL", true],
      [1555, Internal, "WORKFLOW", "DATABASE_CONSTRAINT", false],
      [1, Internal, "WORKFLOW", "DATABASE_FAILED", true],
    ] as const
  ).map(
    ([errcode, ...rest]): Row => [`SQLite ${errcode}`, () => coded("ERR_SQLITE_ERROR", "secret", { errcode }), ...rest],
  ),
  ...(
    [
      [400, FailedPrecondition, "WORKFLOW", "HTTP_400", false],
      [401, Internal, "SYSTEM", "BACKEND_CREDENTIALS", false],
      [403, Internal, "SYSTEM", "BACKEND_CREDENTIALS", false],
      [404, Code.NotFound, "WORKFLOW", "HTTP_404", false],
      [408, Unavailable, "NETWORK", "HTTP_408", true],
      [413, FailedPrecondition, "WORKFLOW", "HTTP_413", false],
      [416, FailedPrecondition, "WORKFLOW", "HTTP_416", false],
      [422, FailedPrecondition, "WORKFLOW", "HTTP_422", false],
      [429, Unavailable, "SYSTEM", "HTTP_429", true],
      [500, Internal, "SYSTEM", "HTTP_500", true],
      [501, Code.Unimplemented, "WORKFLOW", "HTTP_501", false],
      [502, Unavailable, "NETWORK", "HTTP_502", true],
      [504, Unavailable, "NETWORK", "HTTP_504", true],
      [507, ResourceExhausted, "SYSTEM", "DISK_FULL", true],
      [522, Unavailable, "NETWORK", "HTTP_522", true],
    ] as const
  ).map(([status, ...rest]): Row => [`HTTP ${status}`, () => http(status), ...rest]),
  [
    "axios",
    () => Object.assign(new Error("secret"), { code: "ERR_BAD_RESPONSE", response: { status: 502 } }),
    Unavailable,
    "NETWORK",
    "HTTP_502",
    true,
  ],
  [
    "got",
    () => Object.assign(new Error("secret"), { response: { statusCode: 404 } }),
    Code.NotFound,
    "WORKFLOW",
    "HTTP_404",
    false,
  ],
  [
    "the AWS SDK",
    () => Object.assign(new Error("secret"), { $metadata: { httpStatusCode: 503 } }),
    Unavailable,
    "NETWORK",
    "HTTP_503",
    true,
  ],
  ["a grpc-js client, UNAVAILABLE", () => grpcJs(14, "secret"), Unavailable, "NETWORK", "UNAVAILABLE", true],
  ["a grpc-js client, UNAUTHENTICATED", () => grpcJs(16, "secret"), Internal, "SYSTEM", "BACKEND_CREDENTIALS", false],
  ["a grpc-js client, DEADLINE_EXCEEDED", () => grpcJs(4, "secret"), Unavailable, "NETWORK", "BACKEND_TIMEOUT", true],
  ["a nice-grpc client, UNAVAILABLE", () => niceGrpc(14), Unavailable, "NETWORK", "UNAVAILABLE", true],
  ["a nice-grpc client, UNAUTHENTICATED", () => niceGrpc(16), Internal, "SYSTEM", "BACKEND_CREDENTIALS", false],
  [
    "a number of nobody's",
    () => Object.assign(new Error("secret"), { code: 14 }),
    Internal,
    "UNKNOWN",
    "INTERNAL",
    true,
  ],
  [
    "a ConnectError that a handler wrapped",
    () => new Error("secret", { cause: new ConnectError("secret", Code.NotFound) }),
    Code.NotFound,
    "WORKFLOW",
    "NOT_FOUND",
    false,
  ],
  ["AbortController", () => new DOMException("secret", "AbortError"), Aborted, "WORKFLOW", "ABORTED", true],
  ["node:timers/promises", () => coded("ABORT_ERR"), Aborted, "WORKFLOW", "ABORTED", true],
  ["AbortSignal.timeout", () => new DOMException("secret", "TimeoutError"), Unavailable, "NETWORK", "TIMEOUT", true],
  ["the journal", () => new JournalUnavailableError("secret"), Unavailable, "SYSTEM", "JOURNAL", true],
  [
    "ComfyUI, GPU memory",
    () => comfy("torch.OutOfMemoryError", "Allocation on device 0 would exceed allowed memory. (out of memory)"),
    ResourceExhausted,
    "MEMORY",
    "ACCELERATOR_OUT_OF_MEMORY",
    true,
  ],
  ["ComfyUI, host memory", () => comfy("MemoryError", "\n"), ResourceExhausted, "MEMORY", "OUT_OF_MEMORY", true],
  [
    "ComfyUI, out of memory by its words",
    () => comfy("RuntimeError", "CUDA error: out of memory\nCUDA kernel errors might be reported later"),
    ResourceExhausted,
    "MEMORY",
    "ACCELERATOR_OUT_OF_MEMORY",
    true,
  ],
  [
    "ComfyUI, a poisoned device",
    () => comfy("torch.AcceleratorError", "CUDA error: device-side assert triggered"),
    Unavailable,
    "SYSTEM",
    "DEVICE_FAILED",
    true,
  ],
  [
    "ComfyUI, a model that is not there",
    () => comfy("FileNotFoundError", "Model in folder 'vae' with filename 'x.safetensors' not found."),
    FailedPrecondition,
    "MODEL",
    "MODEL_MISSING",
    false,
  ],
  [
    "ComfyUI, a damaged model",
    () => comfy("safetensors_rust.SafetensorError", "Error while deserializing header: secret"),
    FailedPrecondition,
    "MODEL",
    "MODEL_DAMAGED",
    false,
  ],
  [
    "ComfyUI, a full disk",
    () => comfy("OSError", "[Errno 28] No space left on device"),
    ResourceExhausted,
    "SYSTEM",
    "DISK_FULL",
    true,
  ],
  [
    "ComfyUI, another error",
    () => comfy("RuntimeError", "mat1 and mat2 shapes cannot be multiplied"),
    Internal,
    "WORKFLOW",
    "ENGINE_FAILED",
    true,
  ],
  [
    "ComfyUI, an event of its socket",
    () => ({ type: "execution_error", data: comfy("MemoryError", "") }),
    ResourceExhausted,
    "MEMORY",
    "OUT_OF_MEMORY",
    true,
  ],
  [
    "ComfyUI, interrupted",
    () => ({ type: "execution_interrupted", data: { prompt_id: "a" } }),
    Aborted,
    "WORKFLOW",
    "ENGINE_INTERRUPTED",
    true,
  ],
  [
    "ComfyUI, a wrong value",
    () =>
      refused("prompt_outputs_failed_validation", "secret", {
        1: { errors: [{ type: "value_bigger_than_max", extra_info: { input_name: "steps" } }] },
      }),
    InvalidArgument,
    "VALIDATION",
    "ENGINE_REFUSED",
    false,
  ],
  [
    "ComfyUI, a model that is not listed",
    () => refused("prompt_outputs_failed_validation", "secret", notInList("unet_name")),
    FailedPrecondition,
    "MODEL",
    "MODEL_MISSING",
    false,
  ],
  [
    "ComfyUI, a value that is not listed",
    () => refused("prompt_outputs_failed_validation", "secret", notInList("sampler_name")),
    InvalidArgument,
    "VALIDATION",
    "ENGINE_REFUSED",
    false,
  ],
  [
    "ComfyUI, a node that it lacks (old)",
    () => refused("invalid_prompt", "Cannot execute because node X does not exist."),
    FailedPrecondition,
    "MODEL",
    "NODE_MISSING",
    false,
  ],
  [
    "ComfyUI, a node that it lacks",
    () => refused("missing_node_type", "secret"),
    FailedPrecondition,
    "MODEL",
    "NODE_MISSING",
    false,
  ],
  ["a thrown string", () => "secret", Internal, "UNKNOWN", "INTERNAL", true],
  [
    "a thrown string that says something",
    () => "CUDA out of memory. Tried to allocate 2 GiB",
    ResourceExhausted,
    "MEMORY",
    "ACCELERATOR_OUT_OF_MEMORY",
    true,
  ],
  ["undefined", () => undefined, Internal, "UNKNOWN", "INTERNAL", true],
  ["null", () => null, Internal, "UNKNOWN", "INTERNAL", true],
  ["an object", () => ({ secret: "secret" }), Internal, "UNKNOWN", "INTERNAL", true],
  ["a symbol", () => Symbol("secret"), Internal, "UNKNOWN", "INTERNAL", true],
  ["an error that nobody knows", () => new Error("secret"), Internal, "UNKNOWN", "INTERNAL", true],
  ["a code that nobody knows", () => coded("ESECRET"), Internal, "UNKNOWN", "INTERNAL", true],
];

describe("classifyError", () => {
  it.each([...provoked, ...recorded])("knows %s", async (_, thrown, code, category, reason, retryable) => {
    const { failure, unexpected } = classify(await thrown());
    expect({ ...failure, code: Code[failure.code] }).toMatchObject({
      code: Code[code],
      category: FailureCategory[category],
      reason,
      retryable,
    });
    expect(failure.severity).not.toBe(FailureSeverity.UNSPECIFIED);
    expect(unexpected).toBe(true);
    expect(failure.message).toContain(failure.referenceId);
    const told = JSON.stringify({ message: failure.message, causes: failure.causes });
    expect(told).not.toMatch(/secret|127\.0\.0\.1|nowhere|\/dev|no-such-program/i);
  });

  it.each([400, 413, 416, 422])(
    "does not lay HTTP %i to whoever answered it, nor to the caller, and lets policies list it",
    (status) => {
      const { failure } = classify(http(status));
      expect(isBackendsFailure(failure)).toBe(false);
      expect(isCallersMistake(failure)).toBe(false);
      expect(failure.final).toBe(false);
      expect(isHopeless(failure.code)).toBe(true);
    },
  );

  it.each(samples())("knows by its words: %s", (text, reason) => {
    expect(classify(new Error(text)).failure.reason).toBe(reason);
  });

  it("has a sample for each pattern, and a source", () => {
    for (const { pattern, source } of messagePatterns) {
      expect(
        samples().filter(([text]) => pattern.test(text)),
        String(pattern),
      ).not.toEqual([]);
      expect(source).not.toBe("");
    }
  });

  it("trusts a code over words, and words over what leaves it open", () => {
    expect(classify(coded("ENOSPC", "CUDA out of memory")).failure.reason).toBe("DISK_FULL");
    const cause = coded("ECONNRESET");
    expect(classify(new Error("CUDA out of memory", { cause })).failure.reason).toBe("CONNECTION_LOST");
    const crashed = {
      cmd: "node render.js",
      code: null,
      signal: "SIGABRT",
      stderr: "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
    };
    expect(classify(Object.assign(new Error("Command failed"), crashed)).failure.reason).toBe("OUT_OF_MEMORY");
  });

  it("says what led to it, the outermost first, in words of the server", () => {
    const error = new Error("secret", {
      cause: fetchFailed(coded("UND_ERR_SOCKET", "secret", { cause: coded("ECONNRESET") })),
    });
    expect(classify(error).failure.causes).toMatchObject([
      { reason: "CONNECTION_LOST", code: "UND_ERR_SOCKET", message: "a connection was lost" },
      { reason: "CONNECTION_LOST", code: "ECONNRESET" },
    ]);
    const chain = coded("UND_ERR_SOCKET");
    chain.cause = coded("ENOTFOUND");
    expect(classify(chain).failure.causes.map(({ code }) => code)).toEqual(["UND_ERR_SOCKET", "ENOTFOUND"]);
  });

  it("shows callers no code that is none", () => {
    const told = classify(comfy("secret /srv/models", "x", "secret node")).failure;
    expect(told.causes).toMatchObject([{ reason: "ENGINE_FAILED", code: "" }]);
    expect(told.message).not.toContain("secret");
    expect(classify(coded(`ERR_SSL_${"X".repeat(999)}`)).failure.causes).toMatchObject([{ code: "" }]);
  });

  it("keeps the number of causes small, however they are chained", () => {
    const loop = coded("ECONNRESET");
    loop.cause = loop;
    expect(classify(loop).failure.causes).toHaveLength(1);
    let chain = coded("ECONNRESET");
    for (let depth = 0; depth < 10_000; depth++) {
      chain = coded("ETIMEDOUT", "x", { cause: chain });
    }
    expect(classify(chain).failure.causes).toHaveLength(8);
    const many = new AggregateError(Array.from({ length: 10_000 }, () => coded("ECONNREFUSED")));
    expect(classify(many).failure.causes).toHaveLength(8);
  });

  it("never throws, whatever is thrown at it", () => {
    const hostile = new Proxy(new Error("x"), {
      get: (target, name) => {
        if (name === "constructor") return target.constructor;
        throw new Error("no");
      },
    });
    const revoked = Proxy.revocable({}, {});
    revoked.revoke();
    const headers = {
      get: () => {
        throw new Error("no");
      },
    };
    const malformed = new ConnectError("x", Code.Aborted);
    malformed.details.push({ desc: FailureSchema, value: { ...create(FailureSchema), causes: [1] as never } });
    for (const thrown of [
      hostile,
      malformed,
      revoked.proxy,
      { status: 503, headers },
      Object.create(null),
      () => 1,
      1n,
    ]) {
      expect(classify(thrown).failure.referenceId).not.toBe("");
    }
  });

  it.each([
    ["seconds", "120", 120_000],
    ["nothing", "0", 0],
    ["an HTTP date", "Fri, 27 Nov 2026 12:00:30 GMT", 30_000],
    ["a date of RFC 850", "Friday, 27-Nov-26 12:00:30 GMT", 30_000],
    ["a date of asctime", "Fri Nov 27 12:00:30 2026", 30_000],
    ["a date that has passed", "Fri, 27 Nov 2026 11:00:00 GMT", 0],
    ["nonsense", "soon", undefined],
    ["a negative number", "-1", undefined],
    ["a fraction", "1.5", undefined],
  ])("reads Retry-After: %s", (_, value, delayMs) => {
    for (const thrown of [
      http(503, { "retry-after": value }),
      Object.assign(new Error("x"), { response: { status: 429, headers: { "retry-after": value } } }),
      Object.assign(new Error("x"), { status: 503, headers: new Headers({ "Retry-After": value }) }),
    ]) {
      const { retryDelay } = classify(thrown).failure;
      expect(retryDelay && msFromDuration(retryDelay)).toBe(delayMs);
    }
  });

  it("reads the Retry-After of a call over HTTP, where neither RetryInfo nor pushback is there", () => {
    const at = "Fri, 27 Nov 2026 12:00:30 GMT";
    const delayOf = (metadata: Record<string, string>) =>
      msFromDuration(classify(new ConnectError("x", Code.Unavailable, metadata)).failure.retryDelay);
    expect(delayOf({ "retry-after": "9" })).toBe(9000);
    expect(delayOf({ "retry-after": at })).toBe(30_000);
    expect(delayOf({ "retry-after": "9", "grpc-retry-pushback-ms": "1500" })).toBe(1500);
  });

  it("reads details and pushback of a grpc-js client's status", () => {
    const metadata = new Metadata();
    const value = toBinary(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: durationFromMs(3000) }));
    const details = [{ typeUrl: "type.googleapis.com/google.rpc.RetryInfo", value }];
    metadata.set(
      "grpc-status-details-bin",
      Buffer.from(toBinary(StatusSchema, create(StatusSchema, { code: 14, message: "x", details }))),
    );
    expect(msFromDuration(classify(grpcJs(14, "x", metadata)).failure.retryDelay)).toBe(3000);
    const never = new Metadata();
    never.set("grpc-retry-pushback-ms", "-1");
    expect(classify(grpcJs(14, "x", never)).failure).toMatchObject({ retryable: false, final: true });
    const broken = new Metadata();
    broken.set("grpc-status-details-bin", Buffer.from("broken"));
    expect(classify(grpcJs(14, "x", broken)).failure.reason).toBe("UNAVAILABLE");
  });

  it("leaves a ConnectError its words, and logs only what it was caused by", () => {
    const plain = classify(new ConnectError("for you", Code.NotFound));
    expect(plain).toMatchObject({ unexpected: false, failure: { message: "for you", referenceId: "", causes: [] } });
    const caused = classify(createError(Code.Unavailable, "BUSY", "for you", { cause: coded("ECONNREFUSED") }));
    expect(caused).toMatchObject({
      unexpected: true,
      failure: { message: "for you", reason: "BUSY", causes: [{ reason: "CONNECTION_REFUSED", code: "ECONNREFUSED" }] },
    });
    expect(caused.failure.referenceId).not.toBe("");
    expect(JSON.stringify(caused.failure.causes)).not.toContain("secret");
    const remote = createError(Code.Internal, "X", "for you", { cause: new ConnectError("secret", Code.Unavailable) });
    expect(classify(remote)).toMatchObject({ unexpected: false, failure: { causes: [{ code: "UNAVAILABLE" }] } });
  });

  it("takes no other server's word for it that our caller is unknown, or late", () => {
    const owed = create(RetryInfoSchema, { retryDelay: durationFromMs(3000) });
    const ofWire = (code: Code, metadata = {}, retryable = true) => {
      const failure = create(FailureSchema, { code, reason: "X", retryable });
      const error = new ConnectError("no", code, metadata);
      error.details.push({ type: FailureSchema.typeName, value: toBinary(FailureSchema, failure) });
      return error;
    };
    const refused = {
      code: Internal,
      category: FailureCategory.SYSTEM,
      reason: "BACKEND_CREDENTIALS",
      retryable: false,
    };
    const late = { code: Unavailable, category: FailureCategory.NETWORK, reason: "BACKEND_TIMEOUT", retryable: true };
    for (const [thrown, told] of [
      [new ConnectError("no", Code.Unauthenticated), refused],
      [ofWire(Code.Unauthenticated), refused],
      [new ConnectError("no", Code.DeadlineExceeded), late],
      [ofWire(Code.DeadlineExceeded), late],
      // A server of our kind says so of a run that has expired, whose deadline was this attempt's time.
      [ofWire(Code.DeadlineExceeded, { "grpc-retry-pushback-ms": "-1" }, false), late],
      [new Error("x", { cause: ofWire(Code.DeadlineExceeded, {}, false) }), late],
      [grpcJs(4, "no"), late],
    ] as const) {
      const { failure } = classify(thrown);
      expect(failure).toMatchObject({ ...told, causes: [{ reason: told.reason }] });
    }
    const details = [{ desc: RetryInfoSchema, value: owed }];
    const later = classify(new ConnectError("no", Code.DeadlineExceeded, {}, details)).failure;
    expect(msFromDuration(later.retryDelay)).toBe(3000);
    const metadata = new Metadata();
    metadata.set("grpc-retry-pushback-ms", "-1");
    const never = { ...late, retryable: false, final: true };
    const pushback = { "grpc-retry-pushback-ms": "-1" };
    expect(classify(new ConnectError("no", Code.DeadlineExceeded, pushback)).failure).toMatchObject(never);
    expect(classify(grpcJs(4, "no", metadata)).failure).toMatchObject(never);
  });

  it.each([Code.Unauthenticated, Code.DeadlineExceeded])("leaves what this server says itself: code %i", (code) => {
    const thrown = thrownBySync(() => fail({ code, reason: "MINE", message: "mine" }));
    expect(classify(thrown).failure).toMatchObject({ code, reason: "MINE", message: "mine" });
    expect(classify(createError(code, "MINE", "mine")).failure).toMatchObject({ code, reason: "MINE" });
  });

  it("learns the category of a vague status from its words, and keeps its code", () => {
    const text = "Exception calling application: CUDA out of memory. Tried to allocate 20.00 MiB";
    expect(classify(new ConnectError(text, Code.Unknown)).failure).toMatchObject({
      code: Code.Unknown,
      category: FailureCategory.MEMORY,
      severity: FailureSeverity.CRITICAL,
      reason: "ACCELERATOR_OUT_OF_MEMORY",
      message: text,
    });
    expect(classify(new ConnectError(text, Code.InvalidArgument)).failure.category).toBe(FailureCategory.VALIDATION);
    const told = createError(Code.ResourceExhausted, "OUT_OF_MEMORY", "no");
    expect(classify(told).failure.category).toBe(FailureCategory.MEMORY);
  });

  it("shortens what somebody else has made too long", () => {
    const causes = Array.from({ length: 20 }, () => ({
      reason: "R".repeat(99),
      code: "C".repeat(99),
      message: "m".repeat(999),
    }));
    const own = create(FailureSchema, {
      code: Code.Aborted,
      reason: "R".repeat(999),
      message: "m".repeat(99_999),
      causes,
      details: [99_999, 9].map((length) => ({ typeUrl: "a/b", value: new Uint8Array(length) })),
    });
    const { failure } = classify(errorFromFailure(own));
    expect(failure.message).toHaveLength(2048);
    expect(failure.reason).toHaveLength(63);
    expect(failure.causes).toHaveLength(8);
    expect(failure.causes[0]).toMatchObject({ reason: "R".repeat(63), code: "C".repeat(64) });
    expect(failure.causes[0]?.message).toHaveLength(256);
    expect(failure.details.map(({ value }) => value.length)).toEqual([9]);
  });
});

/** Texts as their sources write them. */
function samples(): readonly (readonly [string, string])[] {
  const accelerator = "ACCELERATOR_OUT_OF_MEMORY";
  const memory = "OUT_OF_MEMORY";
  return [
    ["CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 7.79 GiB", accelerator],
    ["HIP out of memory. Tried to allocate 2.00 GiB (GPU 0; 15.98 GiB total capacity)", accelerator],
    ["MPS backend out of memory (MPS allocated: 18.07 GB, other allocations: 1.13 MB)", accelerator],
    ["CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported", accelerator],
    ["Allocation on device", accelerator],
    ["Allocation would exceed allowed memory. (out of memory)", accelerator],
    ["failed to allocate 2.20G (2363883520 bytes) from device: CUDA_ERROR_OUT_OF_MEMORY: out of memory", accelerator],
    ["hipErrorOutOfMemory: out of memory", accelerator],
    ["CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", accelerator],
    ["cuDNN error: CUDNN_STATUS_ALLOC_FAILED", accelerator],
    ["rocBLAS error: rocblas_status_memory_error", accelerator],
    ["vk::Device::allocateMemory: ErrorOutOfDeviceMemory", accelerator],
    ["clEnqueueNDRangeKernel failed: CL_MEM_OBJECT_ALLOCATION_FAILURE", accelerator],
    ["OOM when allocating tensor with shape[64,256,256,64] and type float", accelerator],
    ["RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4294967296 bytes.", accelerator],
    ["This error means you ran out of memory on your GPU.", accelerator],
    ["cuda runtime error (2) : out of memory at /pytorch/aten/src/THC/THCGeneral.cpp:663", accelerator],
    ["[ONNXRuntimeError] : 1 : FAIL : CUDA failure 2: out of memory ; GPU=0 ; hostname=x", accelerator],
    ["allocating 590.07 MiB on device 0: cudaMalloc failed: out of memory", accelerator],
    ["[TRT] [E] [resizingAllocator.cpp::allocate::78] Error Code 1: Cuda Runtime (out of memory)", accelerator],
    ["[TRT] [E] Error Code 2: OutOfMemory (Requested size was 1073741824 bytes.)", accelerator],
    ["pycuda._driver.MemoryError: cuMemAlloc failed: out of memory", accelerator],
    ["Could not allocate tensor with 4915840 bytes. There is not enough GPU video memory available!", accelerator],
    ["[METAL] Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)", accelerator],
    ["Out of memory error on GPU 0. Cannot allocate 15.503906GB memory on GPU 0", accelerator],
    ["Out of memory error on GPU Virtual Memory 1. Cannot allocate 2GB memory", accelerator],
    ["FATAL ERROR: Zone Allocation failed - process out of memory", memory],
    ["Fatal process out of memory: Zone", memory],
    ["The paging file is too small for this operation to complete. (os error 1455)", memory],
    ["bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 16777216", memory],
    [
      "[enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.",
      memory,
    ],
    ["FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", memory],
    ["Array buffer allocation failed", memory],
    ["WebAssembly.Memory(): could not allocate memory", memory],
    ["terminate called after throwing an instance of 'std::bad_alloc'", memory],
    [
      "numpy.core._exceptions._ArrayMemoryError: Unable to allocate 7.45 GiB for an array with shape (1000000000,)",
      memory,
    ],
    ["MemoryError", memory],
    ['Exception in thread "main" java.lang.OutOfMemoryError: Java heap space', memory],
    ["memory allocation of 17179869184 bytes failed", memory],
    ["fatal error: runtime: out of memory", memory],
    ["[Errno 12] Cannot allocate memory", memory],
    ["Out of memory: Killed process 4242 (python3)", memory],
    ["CUDA error: device-side assert triggered", "DEVICE_FAILED"],
    ["CUDA error: an illegal memory access was encountered", "DEVICE_FAILED"],
    ["CUDA error: unspecified launch failure", "DEVICE_FAILED"],
    ["CUDA error: uncorrectable ECC error encountered", "DEVICE_FAILED"],
    ["Unable to determine the device handle for GPU0000:01:00.0: GPU is lost.", "DEVICE_FAILED"],
    ["[Errno 28] No space left on device: '/x'", "DISK_FULL"],
    ["[Errno 122] Disk quota exceeded", "DISK_FULL"],
    ["database or disk is full", "DISK_FULL"],
    ["There is not enough space on the disk.", "DISK_FULL"],
    ["[Errno 24] Too many open files", "TOO_MANY_FILES"],
    ["Model in folder 'diffusion_models' with filename 'wan.safetensors' not found.", "MODEL_MISSING"],
    ["ERROR: Could not detect model type of: /models/x", "MODEL_DAMAGED"],
    ["Error while deserializing header: HeaderTooLarge", "MODEL_DAMAGED"],
    ["Cannot execute because node VHS_VideoCombine does not exist.", "NODE_MISSING"],
    ["Stream closed with error code NGHTTP2_REFUSED_STREAM", "REFUSED_STREAM"],
    ["Stream closed with error code NGHTTP2_ENHANCE_YOUR_CALM", "OVERLOADED"],
    ["Stream closed with error code NGHTTP2_CANCEL", "ABORTED"],
    ["Stream closed with error code NGHTTP2_INADEQUATE_SECURITY", "TLS_FAILED"],
    ["Stream closed with error code NGHTTP2_PROTOCOL_ERROR", "PROTOCOL_ERROR"],
    ["Response does not match the HTTP/1.1 protocol (Expected HTTP/, RTSP/ or ICE/)", "PROTOCOL_ERROR"],
    ["[Errno 111] Connection refused", "CONNECTION_REFUSED"],
    ["[Errno 104] Connection reset by peer", "CONNECTION_LOST"],
    ["[Errno -2] Name or service not known", "HOST_NOT_FOUND"],
    ["[Errno -3] Temporary failure in name resolution", "NAME_LOOKUP_FAILED"],
    ["[Errno 101] Network is unreachable", "HOST_UNREACHABLE"],
    ["[Errno 110] Connection timed out", "TIMEOUT"],
    ["[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate", "CERTIFICATE_REJECTED"],
    ['cannot decode message a.v1.B from JSON: key "x" is unknown', "UNDECODABLE"],
    ["premature EOF", "UNDECODABLE"],
    ["Unexpected end of JSON input", "NOT_JSON"],
  ];
}
