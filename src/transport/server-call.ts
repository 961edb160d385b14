import type { Message } from "@bufbuild/protobuf";
import type {
  HandlerContext,
  MethodImplSpec,
  StreamRequest,
  StreamResponse,
  UnaryRequest,
  UnaryResponse,
} from "@connectrpc/connect";
import { createCallHeaders, type HeaderSource, isCallHeaders } from "./call-headers.ts";
import { CallValues, type InitialValues } from "./call-values.ts";

/** The methods that implementations serve with one request and one response. */
export type UnaryMethodSpec = Extract<MethodImplSpec, { kind: "unary" }>;

/** The methods that stream in at least one direction. */
export type StreamMethodSpec = Exclude<MethodImplSpec, { kind: "unary" }>;

/** Why a signal is aborted when its call has completed: made once, since making one takes a stack trace. */
const completed = new DOMException("the call has completed", "AbortError");

/**
 * One call on the server, behind the request and the context that interceptors and implementations see. What most calls
 * never look at is worked out when it is: the contents of headers, context values, the message, the signal.
 */
export abstract class ServerCall implements HeaderSource, InitialValues {
  abstract readonly url: string;
  abstract readonly protocolName: string;
  readonly requestHeader = createCallHeaders(this);
  readonly responseHeader = createCallHeaders();
  readonly responseTrailer = createCallHeaders();
  readonly values = new CallValues(this);
  #controller: AbortController | undefined;
  #ended = false;
  #endReason: unknown;
  #onAbort: ((reason: unknown) => void) | undefined;

  /** Milliseconds left until the caller's deadline, negative after it, undefined without one. */
  abstract timeoutMs(): number | undefined;
  abstract fillHeader(headers: Headers): void;
  abstract peekHeader(name: string): string | null;
  abstract initialValue(id: symbol): unknown;
  /** Starts watching for the end of the call, for a signal that somebody holds now. May call end() at once. */
  protected abstract watch(): void;

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#ended) {
        this.#controller.abort(this.#endReason ?? completed);
      } else {
        this.watch();
      }
    }
    return this.#controller.signal;
  }

  /** Calls back when the call ends before it has been answered; the one listener of a call, besides its signal. */
  whenAborted(callback: (reason: unknown) => void): void {
    this.#onAbort = callback;
    if (this.#ended) {
      callback(this.#endReason ?? completed);
    } else {
      this.watch();
    }
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Aborts the signal, the first time it is called: with the reason, or with none when the call has completed. */
  end(reason?: unknown): void {
    if (!this.#ended) {
      this.#ended = true;
      this.#endReason = reason;
      this.#controller?.abort(reason ?? completed);
      if (reason !== undefined) {
        this.#onAbort?.(reason);
      }
      this.#onAbort = undefined;
    }
  }
}

// Requests and contexts have getters of their own, since those of a prototype would get lost in `{ ...request }`. They
// are the same functions for every object: only then do all these objects share one shape, and are quick to make.
const callKey = Symbol("call");
const readKey = Symbol("read message");
const requestKey = Symbol("request");

/** A request itself: one that an interceptor has made of it has its own signal, and the original's other fields. */
const selfKey = Symbol("self");

interface WithSignal {
  readonly signal: AbortSignal;
}

interface BehindRequest {
  readonly [callKey]: ServerCall;
  readonly [selfKey]: unknown;
  [readKey]: (() => Message) | Message;
}

const messageProperty: PropertyDescriptor & ThisType<BehindRequest> = {
  enumerable: true,
  configurable: true,
  get() {
    const message = this[readKey];
    if (typeof message !== "function") {
      return message;
    }
    const read = message();
    this[readKey] = read;
    return read;
  },
};

const signalProperty: PropertyDescriptor & ThisType<BehindRequest> = {
  enumerable: true,
  configurable: true,
  get() {
    return this[callKey].signal;
  },
};

const contextSignalProperty: PropertyDescriptor & ThisType<{ readonly [requestKey]: WithSignal }> = {
  enumerable: true,
  configurable: true,
  get() {
    return this[requestKey].signal;
  },
};

/** The request of a unary call, as interceptors see it. The message is decoded when first read, and may throw then. */
export function createUnaryRequest(call: ServerCall, spec: UnaryMethodSpec, readMessage: () => Message): UnaryRequest {
  const { method } = spec;
  const request = {
    stream: false,
    method,
    service: method.parent,
    requestMethod: "POST",
    url: call.url,
    header: call.requestHeader,
    contextValues: call.values,
    [callKey]: call,
    [selfKey]: undefined as unknown,
    [readKey]: readMessage,
  };
  request[selfKey] = request;
  Object.defineProperty(request, "message", messageProperty);
  return Object.defineProperty(request, "signal", signalProperty) as typeof request & UnaryRequest;
}

/** The request of a streaming call, as interceptors see it. */
export function createStreamRequest(
  call: ServerCall,
  spec: StreamMethodSpec,
  messages: AsyncIterable<Message>,
): StreamRequest {
  const { method } = spec;
  const request = {
    stream: true,
    method,
    service: method.parent,
    requestMethod: "POST",
    url: call.url,
    message: messages,
    header: call.requestHeader,
    contextValues: call.values,
    [callKey]: call,
  };
  return Object.defineProperty(request, "signal", signalProperty) as typeof request & StreamRequest;
}

/** The implementation's view of a call: what interceptors have put into the request goes before the original. */
export function createContext(call: ServerCall, request: UnaryRequest | StreamRequest): HandlerContext {
  const context = {
    method: request.method,
    service: request.service,
    requestMethod: request.requestMethod,
    url: request.url,
    protocolName: call.protocolName,
    timeoutMs: () => call.timeoutMs(),
    requestHeader: request.header,
    responseHeader: call.responseHeader,
    responseTrailer: call.responseTrailer,
    values: request.contextValues,
    [requestKey]: request.stream ? signalled(request) : request,
  };
  return Object.defineProperty(context, "signal", contextSignalProperty) as typeof context & HandlerContext;
}

/** What has a streaming request's signal: the call, unless an interceptor has set another. Requests hold their messages. */
function signalled(request: StreamRequest): WithSignal {
  const { [callKey]: call } = request as Partial<BehindRequest>;
  const own = Object.getOwnPropertyDescriptor(request, "signal");
  return call !== undefined && own?.get === signalProperty.get ? call : request;
}

/**
 * Calls back when a call ends before it is answered, with what the context's signal is aborted with. It saves making
 * that signal, which costs a tenth of a call; to be used once for a call.
 */
export function whenAborted(context: HandlerContext, callback: (reason: unknown) => void): void {
  const request = (context as Partial<Record<typeof requestKey, Partial<BehindRequest>>>)[requestKey];
  if (request instanceof ServerCall) {
    request.whenAborted(callback);
    return;
  }
  if (request?.[callKey] !== undefined && request[selfKey] === request) {
    request[callKey].whenAborted(callback);
    return;
  }
  const { signal } = context;
  if (signal.aborted) {
    callback(signal.reason);
  } else {
    signal.addEventListener("abort", () => callback(signal.reason), { once: true });
  }
}

/** What an implementation answered to a unary call, on its way out through the interceptors. */
export function createUnaryResponse(call: ServerCall, spec: UnaryMethodSpec, message: Message): UnaryResponse {
  return {
    stream: false,
    method: spec.method,
    service: spec.method.parent,
    message,
    header: call.responseHeader,
    trailer: call.responseTrailer,
  };
}

/** What an implementation answers to a streaming call, on its way out through the interceptors. */
export function createStreamResponse(
  call: ServerCall,
  spec: StreamMethodSpec,
  messages: AsyncIterable<Message>,
): StreamResponse {
  return {
    stream: true,
    method: spec.method,
    service: spec.method.parent,
    message: messages,
    header: call.responseHeader,
    trailer: call.responseTrailer,
  };
}

/** Whether there is anything in headers to send, told without looking into those that nobody has changed. */
export function isWorthSending(headers: Headers): boolean {
  return !isCallHeaders(headers) || headers.changed;
}
