import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { type Server, status } from "@grpc/grpc-js";
import { countMessages } from "./incoming-messages.ts";
import { longTimeoutHeader, parseGrpcTimeout } from "./long-timeouts.ts";
import {
  type RefusedStream,
  UnaryStreamCall,
  type UnaryStreamOpening,
  type UnaryStreamServing,
} from "./unary-stream-call.ts";

/** A method that is served on its streams. */
export type UnaryMethod = Omit<UnaryStreamServing, "receiveMaxBytes" | "onRefused">;

/** What grpc-js takes where nobody says anything else. */
const defaultReceiveMaxBytes = 4 * 1024 * 1024;

/** Told of calls of methods that a server does not have. */
export type UnknownCall = (path: string, headers: IncomingHttpHeaders) => void;

const unknownCalls = new WeakMap<Server, UnknownCall>();

/** Tells of calls of methods that nobody has added: grpc-js answers them, and no interceptor sees them. Before the server listens. */
export function tellUnknownCalls(server: Server, tell: UnknownCall): void {
  unknownCalls.set(server, tell);
}

const refusedCalls = new WeakMap<Server, RefusedStream>();

/** Tells of calls that are refused for what they are, before an interceptor sees them. Before methods are added. */
export function tellRefusedCalls(server: Server, tell: RefusedStream): void {
  refusedCalls.set(server, tell);
}

const allServed = new WeakMap<Server, Map<string, UnaryStreamServing>>();

/**
 * Serves unary methods of a grpc-js server on their HTTP/2 streams. The server keeps everything that concerns connections,
 * and every call that is anything but plain: they must have been added to it too. Returns a function that withdraws the
 * methods.
 */
export function serveUnaryStreams(server: Server, methods: readonly UnaryMethod[]): () => void {
  let served = allServed.get(server);
  if (served === undefined) {
    served = new Map();
    allServed.set(server, served);
    if (isPlain(server)) {
      divert(server, served);
    }
  }
  const receiveMaxBytes = receiveMaxBytesOf(server);
  const onRefused = refusedCalls.get(server);
  for (const method of methods) {
    served.set(method.path, { ...method, receiveMaxBytes, onRefused });
  }
  return () => {
    for (const { path } of methods) {
      served.delete(path);
    }
  };
}

function receiveMaxBytesOf(server: Server): number {
  const maxBytes = Number(server["options"]["grpc.max_receive_message_length"] ?? defaultReceiveMaxBytes);
  return maxBytes === -1 ? Number.POSITIVE_INFINITY : maxBytes;
}

/** Whether the server does nothing to calls that would be missed. */
function isPlain(server: Server): boolean {
  const options = server["options"];
  return (
    !server["channelzEnabled"] &&
    server["interceptors"].length === 0 &&
    (options["grpc.max_send_message_length"] ?? -1) === -1 &&
    !options["grpc.server_call_metric_recording"]
  );
}

type StreamHandler = (
  this: Server,
  interceptors: readonly unknown[],
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
  rawHeaders: readonly string[],
) => void;

/**
 * Takes the streams of the methods before grpc-js does, which looks for its handler when it begins to listen. That handler is
 * private: grpc-js has no way to serve calls without the layers that cost a third of an empty one. With a version that calls
 * it otherwise, calls are served by those layers again, only slower, and "leave unary calls to grpc-js, which dates its
 * answers: a plain server" in `test/transport/grpc-handlers.test.ts` fails.
 */
function divert(server: Server, served: ReadonlyMap<string, UnaryStreamServing>): void {
  const others: StreamHandler = server["_streamHandler"];
  const receiveMaxBytes = receiveMaxBytesOf(server);
  const handler: StreamHandler = (interceptors, stream, headers, flags, rawHeaders) => {
    const serving = interceptors.length === 0 ? served.get(headers[":path"] ?? "") : undefined;
    const opening = serving === undefined ? undefined : plainOpening(headers, rawHeaders);
    if (serving === undefined || opening === undefined) {
      if (serving === undefined) tellIfUnknown(server, headers);
      tellIfTimeless(server, headers);
      countMessages(stream, receiveMaxBytes);
      others.call(server, interceptors, stream, headers, flags, rawHeaders);
      return;
    }
    // What ends a stream is told by its end.
    stream.on("error", ignore);
    server["onStreamOpened"](stream);
    UnaryStreamCall.start(stream, opening, serving);
  };
  server["_streamHandler"] = handler;
}

function tellIfUnknown(server: Server, headers: IncomingHttpHeaders): void {
  const path = headers[":path"] ?? "";
  // Other requests than calls are refused for what they are.
  if (server["handlers"].has(path) || headers["content-type"]?.startsWith("application/grpc") !== true) return;
  unknownCalls.get(server)?.(path, headers);
}

/** grpc-js refuses those whose time it cannot read. */
function tellIfTimeless(server: Server, headers: IncomingHttpHeaders): void {
  const timeout = headers["grpc-timeout"];
  const path = headers[":path"] ?? "";
  if (timeout === undefined || parseGrpcTimeout(String(timeout)) !== undefined || !server["handlers"].has(path)) return;
  refusedCalls.get(server)?.(path, headers, status.INTERNAL, "the deadline of the call cannot be read");
}

/** Undefined for a call that is better left to grpc-js. */
function plainOpening(headers: IncomingHttpHeaders, rawHeaders: readonly string[]): UnaryStreamOpening | undefined {
  const encoding = headers["grpc-encoding"] ?? "identity";
  const timeout = headers["grpc-timeout"];
  const timeoutMs = timeout === undefined ? undefined : parseGrpcTimeout(String(timeout));
  return encoding === "identity" &&
    headers["content-type"]?.startsWith("application/grpc") === true &&
    headers[longTimeoutHeader] === undefined &&
    (timeout === undefined || timeoutMs !== undefined)
    ? { headers, rawHeaders, timeoutMs }
    : undefined;
}

function ignore(): void {}
