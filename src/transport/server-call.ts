import type { Message } from "@bufbuild/protobuf";
import type {
  ContextValues,
  HandlerContext,
  MethodImplSpec,
  StreamRequest,
  StreamResponse,
  UnaryRequest,
  UnaryResponse,
} from "@connectrpc/connect";

/** The methods that implementations serve with one request and one response. */
export type UnaryMethodSpec = Extract<MethodImplSpec, { kind: "unary" }>;

/** The methods that stream in at least one direction. */
export type StreamMethodSpec = Exclude<MethodImplSpec, { kind: "unary" }>;

/**
 * One call on the server, behind the request and the context that interceptors and implementations see. Headers, signal
 * and context values are built when first asked for: most calls never look at most of them, and they cost more than
 * the call. Requests and contexts have getters of their own, not of a prototype, so `{ ...request }` keeps everything.
 */
export abstract class ServerCall {
  abstract readonly url: string;
  abstract readonly protocolName: string;
  #requestHeader: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;
  #values: ContextValues | undefined;
  #controller: AbortController | undefined;
  #ended = false;
  #endReason: unknown;
  /** The response that the innermost function made, to tell it from one that an interceptor has put in its place. */
  ownResponse: UnaryResponse | StreamResponse | undefined;

  /** Milliseconds left until the caller's deadline, negative after it, undefined without one. */
  abstract timeoutMs(): number | undefined;
  protected abstract readHeader(): Headers;
  protected abstract createValues(): ContextValues;
  /** Starts watching for the end of the call, for a signal that somebody holds now. May call end() at once. */
  protected abstract watch(): void;

  get requestHeader(): Headers {
    this.#requestHeader ??= this.readHeader();
    return this.#requestHeader;
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= new Headers();
    return this.#responseHeader;
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers();
    return this.#responseTrailer;
  }

  /** The response headers if anybody has touched them. */
  get touchedHeader(): Headers | undefined {
    return this.#responseHeader;
  }

  /** The response trailers if anybody has touched them. */
  get touchedTrailer(): Headers | undefined {
    return this.#responseTrailer;
  }

  get values(): ContextValues {
    this.#values ??= this.createValues();
    return this.#values;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#ended) {
        this.#controller.abort(this.#endReason);
      } else {
        this.watch();
      }
    }
    return this.#controller.signal;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Aborts the signal, the first time it is called: with the reason, or with none when the call has completed. */
  end(reason?: unknown): void {
    if (!this.#ended) {
      this.#ended = true;
      this.#endReason = reason;
      this.#controller?.abort(reason);
    }
  }
}

/** The request of a unary call, as interceptors see it. The message is decoded when first read, and may throw then. */
export function createUnaryRequest(call: ServerCall, spec: UnaryMethodSpec, readMessage: () => Message): UnaryRequest {
  let message: Message | undefined;
  const { method } = spec;
  return {
    stream: false,
    method,
    service: method.parent,
    requestMethod: "POST",
    url: call.url,
    get message() {
      message ??= readMessage();
      return message;
    },
    get signal() {
      return call.signal;
    },
    get header() {
      return call.requestHeader;
    },
    get contextValues() {
      return call.values;
    },
  };
}

/** The request of a streaming call, as interceptors see it. */
export function createStreamRequest(
  call: ServerCall,
  spec: StreamMethodSpec,
  messages: AsyncIterable<Message>,
): StreamRequest {
  const { method } = spec;
  return {
    stream: true,
    method,
    service: method.parent,
    requestMethod: "POST",
    url: call.url,
    message: messages,
    get signal() {
      return call.signal;
    },
    get header() {
      return call.requestHeader;
    },
    get contextValues() {
      return call.values;
    },
  };
}

/** The implementation's view of a call: what interceptors have put into the request goes before the original. */
export function createContext(call: ServerCall, request: UnaryRequest | StreamRequest): HandlerContext {
  return {
    method: request.method,
    service: request.service,
    requestMethod: request.requestMethod,
    url: request.url,
    protocolName: call.protocolName,
    timeoutMs: () => call.timeoutMs(),
    get signal() {
      return request.signal;
    },
    get requestHeader() {
      return request.header;
    },
    get responseHeader() {
      return call.responseHeader;
    },
    get responseTrailer() {
      return call.responseTrailer;
    },
    get values() {
      return request.contextValues;
    },
  };
}

/** What an implementation answered to a unary call, on its way out through the interceptors. */
export function createUnaryResponse(call: ServerCall, spec: UnaryMethodSpec, message: Message): UnaryResponse {
  const response: UnaryResponse = {
    stream: false,
    method: spec.method,
    service: spec.method.parent,
    message,
    get header() {
      return call.responseHeader;
    },
    get trailer() {
      return call.responseTrailer;
    },
  };
  call.ownResponse = response;
  return response;
}

/** What an implementation answers to a streaming call, on its way out through the interceptors. */
export function createStreamResponse(
  call: ServerCall,
  spec: StreamMethodSpec,
  messages: AsyncIterable<Message>,
): StreamResponse {
  const response: StreamResponse = {
    stream: true,
    method: spec.method,
    service: spec.method.parent,
    message: messages,
    get header() {
      return call.responseHeader;
    },
    get trailer() {
      return call.responseTrailer;
    },
  };
  call.ownResponse = response;
  return response;
}

/** The headers to send with a response, without building any where nobody has set one. */
export function headerOf(call: ServerCall, response: UnaryResponse | StreamResponse): Headers | undefined {
  return response === call.ownResponse ? call.touchedHeader : response.header;
}

/** The trailers to send after a response, without building any where nobody has set one. */
export function trailerOf(call: ServerCall, response: UnaryResponse | StreamResponse): Headers | undefined {
  return response === call.ownResponse ? call.touchedTrailer : response.trailer;
}
