import { clone, type DescMessage, type Message } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ContextValues,
  type Interceptor,
  type MethodImplSpec,
  type StreamRequest,
  type StreamResponse,
  type UnaryRequest,
  type UnaryResponse,
} from "@connectrpc/connect";
import { abandon } from "./abandon.ts";
import { errorFromAborted, throwIfAborted, untilAborted } from "./aborted.ts";
import { flushHeadersKey, type Peer, peerKey } from "./context-keys.ts";
import { invokeStream, invokeUnary } from "./invoke.ts";
import { headersFromMetadata, metadataFromHeaders } from "./metadata.ts";
import { methodName } from "./method.ts";
import { ServerCall } from "./server-call.ts";
import { errorFromStatus, statusFromThrown } from "./status.ts";

/** Everything about a call but its request. */
export interface InProcessInit {
  readonly spec: MethodImplSpec;
  readonly timeLeftMs: () => number | undefined;
  readonly interceptors: readonly Interceptor[];
}

/** Carries out a unary call. Rejects with an error such as would have come over a wire. */
export async function callUnary(init: InProcessInit, request: UnaryRequest): Promise<UnaryResponse> {
  const { spec, interceptors } = init;
  if (spec.kind !== "unary") {
    throw new ConnectError(`${methodName(spec.method)} is not unary`, Code.Unimplemented);
  }
  const { signal } = request;
  throwIfAborted(signal);
  const header = crossHeaders(request.header, Code.InvalidArgument);
  const message = clone(spec.method.input, request.message);
  const call = new InProcessCall(request, header, init.timeLeftMs, undefined);
  try {
    const response = await untilAborted(
      signal,
      invokeUnary(call, spec, () => message, interceptors),
    );
    return {
      stream: false,
      method: request.method,
      service: request.service,
      message: cloneOutput(spec.method.output, response.message),
      header: crossHeaders(response.header, Code.Internal),
      trailer: crossHeaders(response.trailer, Code.Internal),
    };
  } catch (thrown) {
    throw signal.aborted ? errorFromAborted(signal) : crossError(call, thrown);
  } finally {
    call.end();
  }
}

/**
 * Carries out a streaming call. Resolves when the headers are known: with the first message, when the implementation
 * flushes them, or at the end. Messages are pulled one by one.
 */
export async function callStream(init: InProcessInit, request: StreamRequest): Promise<StreamResponse> {
  const { signal } = request;
  throwIfAborted(signal);
  const requestHeader = crossHeaders(request.header, Code.InvalidArgument);
  const opened = Promise.withResolvers<Headers>();
  const call = new InProcessCall(request, requestHeader, init.timeLeftMs, opened.resolve);
  const trailer = new Headers();
  const messages = serveStream(init, call, request, opened.resolve, trailer);
  const first = messages.next();
  first.catch(opened.reject);
  // Told now, not when the caller next asks for a message, which it may never do.
  call.signal.addEventListener("abort", () => abandon(messages), { once: true });
  try {
    const header = await untilAborted(signal, opened.promise);
    return {
      stream: true,
      method: request.method,
      service: request.service,
      header,
      trailer,
      message: passOn(first, messages, call, signal),
    };
  } catch (thrown) {
    call.end(thrown);
    throw thrown;
  }
}

const inProcessPeer: Peer = { address: "in-process", certificate: undefined, inProcess: true };

class InProcessCall extends ServerCall {
  readonly protocolName = "in-process";
  readonly url: string;
  readonly timeoutMs: () => number | undefined;
  readonly #header: Headers;
  readonly #callerSignal: AbortSignal;
  readonly #callerValues: ContextValues;
  readonly #flush: ((headers: Headers) => void) | undefined;
  readonly #onAbort = (): void => this.end(errorFromAborted(this.#callerSignal));

  constructor(
    request: UnaryRequest | StreamRequest,
    header: Headers,
    timeLeftMs: () => number | undefined,
    flush: ((headers: Headers) => void) | undefined,
  ) {
    super();
    this.url = request.url;
    this.timeoutMs = timeLeftMs;
    this.#header = header;
    this.#callerSignal = request.signal;
    this.#callerValues = request.contextValues;
    this.#flush = flush;
    this.#callerSignal.addEventListener("abort", this.#onAbort);
  }

  override end(reason?: unknown): void {
    this.#callerSignal.removeEventListener("abort", this.#onAbort);
    super.end(reason);
  }

  fillHeader(headers: Headers): void {
    for (const [name, value] of this.#header) {
      headers.append(name, value);
    }
  }

  peekHeader(name: string): string | null {
    return this.#header.get(name);
  }

  initialValue(id: symbol): unknown {
    if (id === peerKey.id) {
      // Code of this process that calls for somebody else says for whom.
      return this.#callerValues.get(peerKey) ?? inProcessPeer;
    }
    const flush = this.#flush;
    return id === flushHeadersKey.id && flush !== undefined
      ? () => flush(crossHeaders(this.responseHeader, Code.Internal))
      : undefined;
  }

  protected watch(): void {
    // The constructor has begun to.
  }
}

/** The implementation's side of a streaming call: yields its messages, then completes the trailers. */
async function* serveStream(
  init: InProcessInit,
  call: InProcessCall,
  request: StreamRequest,
  open: (headers: Headers) => void,
  trailer: Headers,
): AsyncGenerator<Message, void, undefined> {
  const { spec, interceptors } = init;
  let iterator: AsyncIterator<Message> | undefined;
  try {
    if (spec.kind === "unary") {
      throw new ConnectError(`${methodName(spec.method)} does not stream`, Code.Unimplemented);
    }
    const input = cloneInputs(spec.method.input, request.message, call);
    const response = await invokeStream(call, spec, input, interceptors);
    iterator = response.message[Symbol.asyncIterator]();
    for (;;) {
      const result = await iterator.next();
      open(crossHeaders(response.header, Code.Internal));
      if (result.done === true) {
        for (const [name, value] of crossHeaders(response.trailer, Code.Internal)) {
          trailer.append(name, value);
        }
        return;
      }
      yield cloneOutput(spec.method.output, result.value);
    }
  } catch (thrown) {
    const error = crossError(call, thrown);
    call.end(error);
    throw error;
  } finally {
    call.end();
    abandon(iterator);
  }
}

/** The caller's side: it does not wait for an implementation that does not heed its signal. */
async function* passOn(
  first: Promise<IteratorResult<Message, void>>,
  messages: AsyncGenerator<Message, void, undefined>,
  call: InProcessCall,
  signal: AbortSignal,
): AsyncGenerator<Message, void, undefined> {
  try {
    let result = await untilAborted(signal, first);
    while (result.done !== true) {
      yield result.value;
      result = await untilAborted(signal, messages.next());
    }
  } finally {
    call.end(new ConnectError("the caller has left the call", Code.Canceled));
  }
}

/** The caller's messages, as the implementation receives them: until the call is over. */
async function* cloneInputs(
  desc: DescMessage,
  messages: AsyncIterable<Message>,
  call: InProcessCall,
): AsyncGenerator<Message, void, undefined> {
  const iterator = messages[Symbol.asyncIterator]();
  try {
    for (;;) {
      const result = await untilAborted(call.signal, iterator.next());
      if (result.done === true) {
        return;
      }
      yield clone(desc, result.value);
    }
  } finally {
    abandon(iterator);
  }
}

/** A message that cannot be cloned could not have been encoded either. */
function cloneOutput(desc: DescMessage, message: Message): Message {
  try {
    return clone(desc, message);
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new ConnectError(`the response cannot be sent: ${problem}`, Code.Internal, undefined, undefined, error);
  }
}

/** Headers as they arrive at the other side, with what gRPC would refuse refused. */
function crossHeaders(headers: Headers, codeWhenIllegal: Code): Headers {
  return headersFromMetadata(metadataFromHeaders(headers, codeWhenIllegal));
}

/** An error as it arrives at the other side: status, details and metadata, without cause and stack. */
function crossError(call: ServerCall, thrown: unknown): ConnectError {
  const status = statusFromThrown(thrown, [call.responseHeader, call.responseTrailer], Number.POSITIVE_INFINITY);
  return errorFromStatus(status);
}
