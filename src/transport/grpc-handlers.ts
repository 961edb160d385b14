import type { DescMethod, DescService, Message } from "@bufbuild/protobuf";
import {
  Code,
  createServiceImplSpec,
  type Interceptor,
  type MethodImplSpec,
  type ServiceImpl,
  type StreamResponse,
  type UnaryResponse,
} from "@connectrpc/connect";
import type {
  Server,
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  sendUnaryData,
  UntypedHandleCall,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { systemClock } from "../clock.ts";
import { abandon } from "./abandon.ts";
import { GrpcServerCall } from "./grpc-server-call.ts";
import { invokeStream, invokeUnary } from "./invoke.ts";
import { asBuffer, type BinaryOptions, createMessageDecoder, createMessageEncoder } from "./message-codec.ts";
import { readMessages } from "./message-reader.ts";
import { MessageWriter } from "./message-writer.ts";
import { methodName, onlyMessage } from "./method.ts";
import { isWorthSending, type StreamMethodSpec, type UnaryMethodSpec } from "./server-call.ts";
import { holdUnsent, leavesMuchUnread, leftUnread, noteMessageRead, resetCall, smallBytes } from "./session-guard.ts";
import type { UnaryStreamCall } from "./unary-stream-call.ts";
import { serveUnaryStreams, type UnaryMethod } from "./unary-streams.ts";

/** grpc-js advertises this limit to clients, and enforces none. */
const defaultMetadataMaxBytes = 16_384;

/** How services are served. */
export interface GrpcHandlerOptions {
  /** Around every call, the first listed outermost. */
  readonly interceptors?: readonly Interceptor[];
  /**
   * Largest request message in bytes, after decompression. Unlimited by default, but the server's own
   * `grpc.max_receive_message_length` (4 MiB by default) also holds, and guards against decompression bombs: keep both.
   */
  readonly readMaxBytes?: number;
  /** Largest response message in bytes. Unlimited by default. */
  readonly writeMaxBytes?: number;
  /** Largest metadata in bytes, either way, as HTTP/2 counts them (32 more for each field). 16,384 by default. */
  readonly metadataMaxBytes?: number;
  /** Options of protobuf-es for reading requests and writing responses. */
  readonly binaryOptions?: BinaryOptions;
}

/** What `Server.addService` of grpc-js takes. */
export interface GrpcHandlers {
  readonly definition: ServiceDefinition<UntypedServiceImplementation>;
  readonly implementation: UntypedServiceImplementation;
}

/**
 * Makes handlers for a grpc-js server from a Connect implementation. Methods that it lacks answer Unimplemented, inside
 * the interceptors like any other. The descriptor may be a generated or a dynamic one.
 */
export function createGrpcHandlers<Desc extends DescService>(
  service: Desc,
  implementation: Partial<ServiceImpl<Desc>>,
  options: GrpcHandlerOptions = {},
): GrpcHandlers {
  const spec = createServiceImplSpec(service, implementation);
  const definition: Record<string, ServiceDefinition<UntypedServiceImplementation>[string]> = {};
  const handlers: UntypedServiceImplementation = {};
  for (const methodSpec of Object.values(spec.methods)) {
    const { method } = methodSpec;
    definition[method.name] = {
      path: `/${methodName(method)}`,
      requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
      responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
      requestSerialize: passBytes,
      requestDeserialize: passBytes,
      responseSerialize: passBytes,
      responseDeserialize: passBytes,
    };
    handlers[method.name] = createHandler(methodSpec, options);
  }
  return { definition, implementation: handlers };
}

/**
 * Serves a Connect implementation on a grpc-js server, at any time, also while the server is running: it looks every
 * call's path up. Returns a function that withdraws the service. Create the server with `"grpc.enable_channelz": 0`
 * unless its bookkeeping is wanted: it costs some 15 % of throughput.
 */
export function addConnectService<Desc extends DescService>(
  server: Server,
  service: Desc,
  implementation: Partial<ServiceImpl<Desc>>,
  options: GrpcHandlerOptions = {},
): () => void {
  const handlers = createGrpcHandlers(service, implementation, options);
  // grpc-js refuses a service without methods, which has nothing to serve anyway.
  if (service.methods.length > 0) {
    server.addService(handlers.definition, handlers.implementation);
  }
  const withdraw = serveUnaryStreams(server, createUnaryMethods(service, implementation, options));
  return () => {
    withdraw();
    server.removeService(handlers.definition);
  };
}

function createUnaryMethods<Desc extends DescService>(
  service: Desc,
  implementation: Partial<ServiceImpl<Desc>>,
  options: GrpcHandlerOptions,
): UnaryMethod[] {
  const methods: UnaryMethod[] = [];
  for (const spec of Object.values(createServiceImplSpec(service, implementation).methods)) {
    if (spec.kind === "unary") {
      const serving = createServing(spec.method, options);
      methods.push({
        path: `/${methodName(spec.method)}`,
        metadataMaxBytes: serving.metadataMaxBytes,
        serve: (call, request) => serveUnaryStream(call, request, spec, serving),
      });
    }
  }
  return methods;
}

/** Everything about a method that its calls share. */
interface MethodServing {
  readonly interceptors: readonly Interceptor[];
  readonly decode: (bytes: Uint8Array) => Message;
  readonly encode: (message: Message) => Uint8Array;
  readonly metadataMaxBytes: number;
}

function createServing(method: DescMethod, options: GrpcHandlerOptions): MethodServing {
  const { interceptors = [], metadataMaxBytes = defaultMetadataMaxBytes, binaryOptions } = options;
  return {
    interceptors,
    metadataMaxBytes,
    decode: createMessageDecoder(method.input, {
      what: `request of ${methodName(method)}`,
      codeWhenMalformed: Code.InvalidArgument,
      maxBytes: options.readMaxBytes ?? Number.POSITIVE_INFINITY,
      binaryOptions,
    }),
    encode: createMessageEncoder(method.output, {
      what: `response of ${methodName(method)}`,
      codeWhenUnencodable: Code.Internal,
      maxBytes: options.writeMaxBytes ?? Number.POSITIVE_INFINITY,
      binaryOptions,
    }),
  };
}

function createHandler(spec: MethodImplSpec, options: GrpcHandlerOptions): UntypedHandleCall {
  const serving = createServing(spec.method, options);
  switch (spec.kind) {
    case "unary":
      return (surface: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => {
        void serveUnary(surface, callback, spec, serving);
      };
    case "client_streaming":
      return (surface: ServerReadableStream<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => {
        void serveClientStream(surface, callback, spec, serving);
      };
    case "server_streaming":
      return (surface: ServerWritableStream<Buffer, Buffer>) => {
        void serveStream(surface, spec, serving, () => readOne(surface, serving));
      };
    case "bidi_streaming":
      return (surface: ServerDuplexStream<Buffer, Buffer>) => {
        void serveStream(surface, spec, serving, (call) => readAll(surface, call, serving));
      };
  }
}

async function serveUnary(
  surface: ServerUnaryCall<Buffer, Buffer>,
  callback: sendUnaryData<Buffer>,
  spec: UnaryMethodSpec,
  serving: MethodServing,
): Promise<void> {
  const call = new GrpcServerCall(surface, serving.metadataMaxBytes, false);
  try {
    call.checkRequestMetadata();
    const response = await invokeUnary(call, spec, () => serving.decode(surface.request), serving.interceptors);
    respond(surface, call, response, response.message, callback, serving);
  } catch (thrown) {
    fail(call, callback, thrown);
  } finally {
    call.end();
  }
}

/** The same without grpc-js, and without an async function, which costs every call. */
function serveUnaryStream(
  call: UnaryStreamCall,
  request: Uint8Array,
  spec: UnaryMethodSpec,
  serving: MethodServing,
): void {
  const respond = ({ message, header, trailer }: UnaryResponse): void => {
    try {
      call.answer(serving.encode(message), header, trailer);
    } catch (thrown) {
      call.fail(thrown);
    }
  };
  try {
    call.checkRequestMetadata();
    invokeUnary(call, spec, () => serving.decode(request), serving.interceptors).then(respond, (thrown: unknown) =>
      call.fail(thrown),
    );
  } catch (thrown) {
    call.fail(thrown);
  }
}

async function serveClientStream(
  surface: ServerReadableStream<Buffer, Buffer>,
  callback: sendUnaryData<Buffer>,
  spec: StreamMethodSpec,
  serving: MethodServing,
): Promise<void> {
  const call = new GrpcServerCall(surface, serving.metadataMaxBytes, false);
  call.watch();
  try {
    call.checkRequestMetadata();
    const response = await invokeStream(call, spec, readAll(surface, call, serving), serving.interceptors);
    respond(
      surface,
      call,
      response,
      await onlyMessage(response.message, `response of ${methodName(spec.method)}`, Code.Internal),
      callback,
      serving,
    );
  } catch (thrown) {
    fail(call, callback, thrown);
    call.end(thrown);
  } finally {
    call.end();
  }
}

async function serveStream(
  surface: ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>,
  spec: StreamMethodSpec,
  serving: MethodServing,
  read: (call: GrpcServerCall) => AsyncIterable<Message>,
): Promise<void> {
  const call = new GrpcServerCall(surface, serving.metadataMaxBytes, true);
  const writer = new MessageWriter(surface);
  let iterator: AsyncIterator<Message> | undefined;
  call.watch(() => {
    writer.close();
    abandon(iterator);
  });
  try {
    if (leavesMuchUnread(surface)) {
      resetCall(surface);
      return;
    }
    call.checkRequestMetadata();
    const response = await invokeStream(call, spec, read(call), serving.interceptors);
    iterator = response.message[Symbol.asyncIterator]();
    while (!call.ended) {
      const result = await iterator.next();
      if (call.ended) {
        break;
      }
      let bytes = result.done === true ? undefined : asBuffer(serving.encode(result.value));
      if (!call.headersSent) {
        call.sendHeaders(response.header);
      }
      if (bytes === undefined) {
        surface.end(call.trailerMetadata(response.trailer));
        return;
      }
      const { length } = bytes;
      // A large one counts before it is written: what is refused must not cost more than that.
      let held = length > smallBytes ? holdUnsent(surface, length) : undefined;
      const room = held === undefined && length > smallBytes ? undefined : writer.write(bytes);
      // What waits is a copy.
      bytes = undefined;
      if (room !== undefined) held ??= holdUnsent(surface, length);
      if (held === undefined && (room !== undefined || length > smallBytes)) {
        resetCall(surface);
        break;
      }
      if (room !== undefined) await room;
      held?.release();
    }
    abandon(iterator);
  } catch (thrown) {
    abandon(iterator);
    if (!call.ended) {
      surface.emit("error", call.failure(thrown));
      // It may be an interceptor that ends the call: the implementation waits for its next message and hears of it so.
      call.end(thrown);
    }
  } finally {
    call.end();
  }
}

/** Sends headers, message and trailers together, once all of them are known to be fit for it. */
function respond(
  surface: object,
  call: GrpcServerCall,
  response: UnaryResponse | StreamResponse,
  message: Message,
  callback: sendUnaryData<Buffer>,
  serving: MethodServing,
): void {
  const bytes = asBuffer(serving.encode(message));
  if (bytes.length > smallBytes && holdUnsent(surface, bytes.length) === undefined) {
    throw leftUnread();
  }
  const trailer = call.trailerMetadata(response.trailer);
  if (isWorthSending(response.header)) {
    call.sendHeaders(response.header);
  }
  callback(null, bytes, trailer);
}

function fail(call: GrpcServerCall, callback: sendUnaryData<Buffer>, thrown: unknown): void {
  try {
    callback(call.failure(thrown));
  } catch {
    // grpc-js throws only when the HTTP/2 stream is broken, and then the caller knows.
  }
}

/** No generator: one lasts as long as its call, with all that it has held. */
function readOne(
  surface: ServerWritableStream<Buffer, Buffer>,
  serving: MethodServing,
): AsyncIterableIterator<Message, undefined> {
  let read = false;
  return {
    async next() {
      if (read) {
        return { done: true, value: undefined };
      }
      read = true;
      return { done: false, value: serving.decode(surface.request) };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

async function* readAll(
  surface: ServerReadableStream<Buffer, Buffer>,
  call: GrpcServerCall,
  serving: MethodServing,
): AsyncGenerator<Message, void, undefined> {
  for await (const bytes of readMessages(surface)) {
    noteMessageRead(surface);
    yield serving.decode(bytes);
  }
  // A client that cancels may end its stream in the same breath, and both arrive together: half an upload must not pass
  // for a whole one, so the end counts only if no cancellation comes with it.
  await new Promise<void>((resolve) => systemClock.setImmediate(resolve));
  if (call.ended || !surface.readableEnded) {
    throw call.signal.reason;
  }
}

function passBytes(bytes: Buffer): Buffer {
  return bytes;
}
