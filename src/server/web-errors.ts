import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeToHttpStatus, errorToJson } from "@connectrpc/connect/protocol-connect";
import { suggestion } from "../nearest-name.ts";

/** An answer to a request that is no call: in the form in which Connect tells errors, so that its clients read it. */
export interface WebError {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** A failed call that never became one. */
export function webErrorFrom(error: ConnectError, status = codeToHttpStatus(error.code)): WebError {
  const headers: Record<string, string> = { "content-type": "application/json" };
  for (const name of toldByHeader) {
    const value = error.metadata.get(name);
    if (value !== null) headers[name] = value;
  }
  return { status, body: JSON.stringify(errorToJson(error, undefined)), headers };
}

/** What HTTP says of a refusal beside its status. */
const toldByHeader = ["retry-after", "www-authenticate"];

/** Writes it, if that is still possible. */
export function writeError({ status, body, headers }: WebError, response: ServerResponse): void {
  if (!response.headersSent && !response.destroyed) {
    response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) });
    response.end(body);
  }
}

const mostServices = 20;

/** There is no such path. `methods` are the paths of the calls that there are. */
export function notFound(path: string, methods: ReadonlySet<string>): WebError {
  const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path;
  const services = [...new Set([...methods].map((method) => method.slice(1, method.lastIndexOf("/"))))];
  const called = /^\/([\w.]+)\/(\w+)$/.exec(path);
  if (called !== null) {
    const [, service = "", method = ""] = called;
    const own = [...methods].filter((each) => each.startsWith(`/${service}/`));
    const problem =
      own.length > 0
        ? `${service} has no method ${method}.${suggestion(path, own)}`
        : `this server has no service ${service}.${suggestion(service, services)}`;
    return webError(404, Code.Unimplemented, problem);
  }
  const some = services.slice(0, mostServices).join(", ");
  const more = services.length > mostServices ? ` and ${services.length - mostServices} more` : "";
  return webError(
    404,
    Code.Unimplemented,
    `there is nothing at ${shown}. Here are /healthz, /readyz, /artifacts/ID, and POST /SERVICE/METHOD for ${some}${more}`,
  );
}

export function methodNotAllowed(allowed: readonly string[]): WebError {
  const error = webError(405, Code.Unimplemented, `call this with ${allowed.join(" or ")}`);
  return { ...error, headers: { ...error.headers, allow: allowed.join(", ") } };
}

export function unsupportedMediaType(streaming: boolean): WebError {
  return webError(
    415,
    Code.InvalidArgument,
    streaming
      ? "this method streams: send Content-Type: application/connect+json or application/grpc-web, as the clients of Connect and gRPC-Web do; with plain JSON, start a run by retake.v1.RunService/StartRun"
      : "send Content-Type: application/json, or one of application/proto and application/grpc-web",
  );
}

/** What Fastify refuses: a URL that cannot be decoded, for instance. */
export function frameworkError({ statusCode = 500, message }: Error & { readonly statusCode?: number }): WebError {
  return statusCode < 500 ? webError(statusCode, Code.InvalidArgument, message) : internalError();
}

export function internalError(): WebError {
  return webError(500, Code.Internal, "the server could not answer; its log has the cause");
}

/** Answers what is no HTTP request, or takes too long to become one, and closes its connection. */
export function refuseConnection(
  error: Error & { code?: string },
  socket: Duplex,
  response: ServerResponse | undefined,
  limits: RequestLimits,
): void {
  // What is gone hears nothing, and an answer that has begun must not go on with this one.
  if (error.code === "ECONNRESET" || !socket.writable || response?.headersSent === true) {
    socket.destroy();
    return;
  }
  const { status, body, headers } = clientError(error.code, limits);
  const lines = Object.entries({ ...headers, "content-length": Buffer.byteLength(body), connection: "close" });
  const head = [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines.map(([name, value]) => `${name}: ${value}`)];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`, () => socket.destroy());
}

/** What a request may take before it is one. */
export interface RequestLimits {
  readonly maxHeaderBytes: number;
  readonly requestTimeoutMs: number;
}

function clientError(code: string | undefined, { maxHeaderBytes, requestTimeoutMs }: RequestLimits): WebError {
  switch (code) {
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return webError(
        408,
        Code.DeadlineExceeded,
        `the request has not arrived within ${requestTimeoutMs / 1000} s (request_timeout)`,
      );
    case "HPE_HEADER_OVERFLOW":
      return webError(
        431,
        Code.ResourceExhausted,
        `the headers have more than the ${maxHeaderBytes} bytes that the server takes (max_header_bytes)`,
      );
    default:
      return webError(400, Code.InvalidArgument, "this is no HTTP/1.1 request");
  }
}

/** The answer that each connection waits for, for those who have to know whether it has begun. */
export class OpenResponses {
  readonly #bySocket = new WeakMap<Duplex, ServerResponse>();

  add({ socket }: IncomingMessage, response: ServerResponse): void {
    this.#bySocket.set(socket, response);
    response.once("close", () => {
      if (this.#bySocket.get(socket) === response) {
        this.#bySocket.delete(socket);
      }
    });
  }

  on(socket: Duplex): ServerResponse | undefined {
    return this.#bySocket.get(socket);
  }
}

function webError(status: number, code: Code, message: string): WebError {
  return webErrorFrom(new ConnectError(message, code), status);
}
