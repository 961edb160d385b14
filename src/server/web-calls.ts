import type { IncomingMessage, ServerResponse } from "node:http";
import type { Registry } from "@bufbuild/protobuf";
import { Code, ConnectError, createConnectRouter, type Interceptor } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { ResolvedInput } from "../config/index.ts";
import type { RefusedCall } from "../interceptors/rpc/index.ts";
import type { Logger } from "../runs/index.ts";
import { traceFields } from "../trace-fields.ts";
import type { Source } from "../transport/index.ts";
import { readingOf } from "./own-requests.ts";
import type { Route } from "./routes.ts";
import { acceptedCompression } from "./web-envelopes.ts";
import {
  internalError,
  methodNotAllowed,
  notFound,
  unsupportedMediaType,
  type WebError,
  webErrorFrom,
  writeError,
} from "./web-errors.ts";
import { HeldBytes } from "./web-held.ts";
import { peerValues } from "./web-peer.ts";
import { checkQuery, type RequestReading, requestBody, requestHeaders } from "./web-request.ts";
import { writeResponse } from "./web-response.ts";

export interface WebCallsOptions {
  readonly interceptors: readonly Interceptor[];
  /** The types of every `Any` in JSON. */
  readonly registry: Registry;
  readonly reading: ResolvedInput;
  /** Of one message, either way, in bytes. */
  readonly maxMessageBytes: number;
  /** Where a request comes from, for what the server holds for it. */
  readonly sourceOf: (request: IncomingMessage) => Source | undefined;
  /** Told of calls of methods that there are not. */
  readonly onUnknownCall?: ((path: string, header: Headers) => void) | undefined;
  /** Told of calls that are refused before interceptors see them. */
  readonly onRefusedCall?: ((call: RefusedCall) => void) | undefined;
  readonly log: Logger;
}

/**
 * Serves calls by the Connect and gRPC-Web protocols on Node's HTTP server. An adapter of our own, because the one of
 * Connect for Fastify leaves some requests without an answer, cuts the connection below an answer to an oversized one,
 * and prints to the console.
 */
export class WebCalls {
  #handlers: ReadonlyMap<string, UniversalHandler> = new Map();
  #paths: ReadonlySet<string> = new Set();
  readonly #options: WebCallsOptions;

  constructor(options: WebCallsOptions) {
    this.#options = options;
  }

  /** Serves these routes from the next call on. */
  route(routes: readonly Route[]): void {
    const { interceptors, maxMessageBytes, registry, reading } = this.#options;
    const shared = {
      interceptors: [...interceptors],
      readMaxBytes: maxMessageBytes,
      acceptCompression: [...acceptedCompression],
      // gRPC itself has a port of its own, which is several times faster.
      grpc: false,
    };
    const router = createConnectRouter();
    for (const { service, implementation, grpcOnly } of routes) {
      if (grpcOnly !== true) {
        const { json, binary } = readingOf(service, reading);
        router.service(service, implementation, {
          ...shared,
          jsonOptions: { registry, ...json },
          binaryOptions: binary,
        });
      }
    }
    this.#handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
    this.#paths = new Set(this.#handlers.keys());
  }

  /** Answers a request, whatever it is. Never rejects; resolves when the answer is written or the caller is gone. */
  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // What breaks a connection has no one else to tell: the call hears of it by its signal.
    response.on("error", () => undefined);
    const [path = ""] = (request.url ?? "").split("?", 1);
    try {
      const handler = this.#handlers.get(path);
      if (handler === undefined) {
        if (isCall(path, request)) this.#options.onUnknownCall?.(path, requestHeaders(request));
        writeError(notFound(path, this.#paths), response);
        return;
      }
      const held = new HeldBytes(this.#options.sourceOf(request));
      response.once("close", () => held.set(0));
      const answer = await this.#call(handler, request, response, held);
      if ("headers" in answer) {
        writeError(answer, response);
      } else {
        await writeResponse(answer, response, held);
      }
    } catch (error) {
      this.#options.log.error(
        // Without its query: that of a GET is a message.
        {
          event: "rpc.server.call.exception",
          err: error,
          path,
          ...traceFields(String(request.headers["traceparent"])),
        },
        "a web request could not be answered",
      );
      writeError(internalError(), response);
    }
  }

  async #call(
    handler: UniversalHandler,
    request: IncomingMessage,
    response: ServerResponse,
    held: HeldBytes,
  ): Promise<UniversalServerResponse | WebError> {
    const { method } = handler;
    const { maxMessageBytes, registry, onRefusedCall } = this.#options;
    const options = readingOf(method.parent, this.#options.reading);
    const refused = (error: unknown): void => {
      const { code, rawMessage: message } = ConnectError.from(error);
      onRefusedCall?.({ path: handler.requestPath, code, message, header: requestHeaders(request) });
    };
    // Of a stream interceptors read the messages, and see what is wrong with them.
    const onRefused = method.methodKind === "unary" ? refused : undefined;
    const reading: RequestReading = { method, maxBytes: maxMessageBytes, registry, options, onRefused };
    // Whom a request names as its host is up to whoever sends it.
    const url = new URL(`http://localhost${request.url}`);
    if (request.method === "GET" && handler.allowedMethods.includes("GET")) {
      try {
        await checkQuery(url, reading);
      } catch (error) {
        refused(error);
        return webErrorFrom(ConnectError.from(error));
      }
    }
    const gone = new AbortController();
    response.once("close", () =>
      gone.abort(new ConnectError("the caller has cancelled the call or is gone", Code.Canceled)),
    );
    const answer = await handler({
      httpVersion: request.httpVersion,
      method: request.method ?? "",
      url: url.href,
      header: requestHeaders(request),
      body: requestBody(request, reading, held),
      signal: gone.signal,
      contextValues: peerValues(request),
    });
    switch (answer.body === undefined ? answer.status : 200) {
      case 405:
        return methodNotAllowed(handler.allowedMethods);
      case 415:
        return unsupportedMediaType(method.methodKind !== "unary");
      default:
        return answer;
    }
  }
}

/** Whether somebody calls a method, there or not, and does not look for a page. */
function isCall(path: string, { method, headers }: IncomingMessage): boolean {
  const isMessage = /^application\/(?:grpc|connect|json|proto)/.test(headers["content-type"] ?? "");
  return method === "POST" && isMessage && /^\/[\w.]+\/\w+$/.test(path);
}
