import type { DescMethodStreaming, DescMethodUnary, Message } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ContextValues,
  createContextValues,
  type Interceptor,
  type StreamRequest,
  type StreamResponse,
  type UnaryRequest,
  type UnaryResponse,
} from "@connectrpc/connect";
import { createLinkedAbortController } from "@connectrpc/connect/protocol";
import type { Clock, Timer } from "../clock.ts";
import { abandon } from "./abandon.ts";
import { errorFromAborted } from "./aborted.ts";
import { interceptStream, interceptUnary } from "./interceptors.ts";
import { completeMessage } from "./message-codec.ts";

/** What all calls of one client transport share. */
export interface ClientSettings {
  readonly clock: Clock;
  /** Around every call, the first listed outermost. */
  readonly interceptors: readonly Interceptor[];
  /** Used where a call gives no timeout of its own. */
  readonly defaultTimeoutMs: number | undefined;
  /** URL of a method, for interceptors. */
  readonly url: (method: DescMethodUnary | DescMethodStreaming) => string;
}

/** What a caller gave to a transport, and how the transport carries the call out. */
export interface ClientCallInit<Method, Input, Request, Response> {
  readonly method: Method;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
  readonly header: ConstructorParameters<typeof Headers>[0];
  readonly input: Input;
  readonly contextValues: ContextValues | undefined;
  /** Carries the call out; may be called again by an interceptor that retries. `timeLeftMs` is undefined without a deadline. */
  readonly send: (request: Request, timeLeftMs: () => number | undefined) => Promise<Response>;
}

/** Runs a unary call of a transport: interceptors, deadline, linked signal, and errors as ConnectErrors. */
export async function runUnary(
  settings: ClientSettings,
  init: ClientCallInit<DescMethodUnary, unknown, UnaryRequest, UnaryResponse>,
): Promise<UnaryResponse> {
  const { method } = init;
  const life = new CallLife(settings, init.signal, init.timeoutMs);
  try {
    const send = interceptUnary(settings.interceptors, (request) => init.send(request, life.timeLeftMs));
    const response = await send({
      stream: false,
      method,
      service: method.parent,
      requestMethod: "POST",
      url: settings.url(method),
      signal: life.signal,
      header: new Headers(init.header),
      contextValues: init.contextValues ?? createContextValues(),
      message: completeMessage(method, "request", init.input, Code.InvalidArgument),
    });
    life.end();
    return response;
  } catch (reason) {
    throw life.fail(reason);
  }
}

/** Runs a streaming call of a transport, as runUnary does. The call lives until its response has been read or left. */
export async function runStream(
  settings: ClientSettings,
  init: ClientCallInit<DescMethodStreaming, AsyncIterable<unknown>, StreamRequest, StreamResponse>,
): Promise<StreamResponse> {
  const { method } = init;
  const life = new CallLife(settings, init.signal, init.timeoutMs);
  try {
    const send = interceptStream(settings.interceptors, (request) => init.send(request, life.timeLeftMs));
    const response = await send({
      stream: true,
      method,
      service: method.parent,
      requestMethod: "POST",
      url: settings.url(method),
      signal: life.signal,
      header: new Headers(init.header),
      contextValues: init.contextValues ?? createContextValues(),
      message: completeInputs(method, init.input),
    });
    return { ...response, message: endingCall(response.message, life) };
  } catch (reason) {
    throw life.fail(reason);
  }
}

/** A call from its start to its end: one signal for the caller's wish, the deadline and the end itself, as in Connect. */
class CallLife {
  readonly #clock: Clock;
  readonly #controller: AbortController;
  readonly #deadline: number | undefined;
  readonly #timer: Timer | undefined;
  #ended = false;
  #failure: ConnectError | undefined;

  constructor(settings: ClientSettings, signal: AbortSignal | undefined, givenTimeoutMs: number | undefined) {
    this.#clock = settings.clock;
    this.#controller = createLinkedAbortController(signal);
    // Connect's transports take 0 and less for "no timeout".
    const timeoutMs = givenTimeoutMs ?? settings.defaultTimeoutMs;
    if (timeoutMs !== undefined && timeoutMs > 0) {
      this.#deadline = this.#clock.monotonic() + timeoutMs;
      this.#timer = this.#clock.setTimeout(() => {
        this.#controller.abort(new ConnectError("the operation timed out", Code.DeadlineExceeded));
      }, timeoutMs);
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get ended(): boolean {
    return this.#ended;
  }

  readonly timeLeftMs = (): number | undefined =>
    this.#deadline === undefined ? undefined : this.#deadline - this.#clock.monotonic();

  /** Ends the call, and says how it failed: an abort goes before what it led to. */
  fail(reason: unknown): ConnectError {
    if (this.#failure === undefined) {
      const { signal } = this.#controller;
      this.#failure = signal.aborted && !this.#ended ? errorFromAborted(signal) : ConnectError.from(reason);
      this.end(this.#failure);
    }
    return this.#failure;
  }

  end(reason?: unknown): void {
    if (!this.#ended) {
      this.#ended = true;
      this.#timer?.cancel();
      this.#controller.abort(reason);
    }
  }
}

/** Passes a response's messages on and ends the call with them: at their end, at an error, and when they are left early. */
function endingCall(messages: AsyncIterable<Message>, life: CallLife): AsyncIterable<Message> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = messages[Symbol.asyncIterator]();
      return {
        async next() {
          if (life.signal.aborted && !life.ended) {
            abandon(iterator);
            throw life.fail(undefined);
          }
          try {
            const result = await iterator.next();
            if (result.done === true) {
              life.end();
            }
            return result;
          } catch (reason) {
            throw life.fail(reason);
          }
        },
        async return() {
          life.end();
          await iterator.return?.();
          return { done: true, value: undefined };
        },
      };
    },
  };
}

function completeInputs(method: DescMethodStreaming, inputs: AsyncIterable<unknown>): AsyncIterable<Message> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = inputs[Symbol.asyncIterator]();
      return {
        async next() {
          const result = await iterator.next();
          return result.done === true
            ? { done: true, value: undefined }
            : { done: false, value: completeMessage(method, "request", result.value, Code.InvalidArgument) };
        },
        async return() {
          await iterator.return?.();
          return { done: true, value: undefined };
        },
      };
    },
  };
}
