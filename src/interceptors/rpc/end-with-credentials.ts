import {
  Code,
  type ConnectError,
  type Interceptor,
  type StreamRequest,
  type StreamResponse,
  type UnaryResponse,
} from "@connectrpc/connect";
import type { Clock } from "../../clock.ts";
import { createDenial, goesOnWhileKey, principalKey } from "../../security/index.ts";
import { abandon, passMessages } from "../../transport/index.ts";
import { OpenStreams } from "./open-streams.ts";
import { withMessages } from "./with-messages.ts";

/**
 * Ends streams, in either direction, whose credentials are revoked or expire meanwhile: UNAUTHENTICATED, and no message
 * more. To what they are about it is as if their caller had left. Implementations add what else has to hold (`goesOnWhileKey`).
 */
export function endWithCredentials(clock: Clock): Interceptor {
  const open = new OpenStreams(clock);
  return (next) => (request) => {
    if (!request.stream) return next(request);
    const { authentication, isCurrent } = request.contextValues.get(principalKey);
    // Who has shown nothing has nothing to lose.
    if (authentication === "none" || authentication === "in_process") return next(request);
    const ended: Problem = () => (isCurrent?.() === false ? credentialsEnded() : undefined);
    const stream = new WatchedStream(open, ended, request.signal);
    request.contextValues.set(goesOnWhileKey, (problem) => stream.addCondition(problem));
    return stream.answer(request, next);
  };
}

type Problem = () => ConnectError | undefined;

class WatchedStream {
  readonly #open: OpenStreams;
  readonly #conditions: Problem[];
  readonly #signal: AbortSignal;
  /** Whoever waits for this stream to get on. */
  readonly #waiting = new Set<(lost: ConnectError) => void>();
  #lost: ConnectError | undefined;

  constructor(open: OpenStreams, condition: Problem, signal: AbortSignal) {
    this.#open = open;
    this.#conditions = [condition];
    this.#signal = signal;
  }

  addCondition(problem: Problem): void {
    this.#conditions.push(problem);
  }

  async answer(
    request: StreamRequest,
    next: (request: StreamRequest) => Promise<StreamResponse | UnaryResponse>,
  ): Promise<StreamResponse | UnaryResponse> {
    this.#open.add(this);
    try {
      // One message is read before anybody could lose anything.
      const isRead = request.method.methodKind === "server_streaming";
      const watched = isRead ? request : withMessages(request, this.#watched(request.message));
      const response = await this.#untilLost(next(watched));
      if (!response.stream) return response;
      const { service, method, header, trailer, message } = response;
      return { stream: true, service, method, header, trailer, message: this.#watchedToItsEnd(message) };
    } finally {
      // A response that nobody reads ends unheard: it is watched again from its first message on.
      this.#open.delete(this);
    }
  }

  check(): void {
    // A caller who is gone has nobody read to the end what it asked for.
    if (this.#signal.aborted) this.#open.delete(this);
    for (const problem of this.#conditions) this.#lost ??= problem();
    if (this.#lost === undefined) return;
    this.#open.delete(this);
    for (const tell of this.#waiting) tell(this.#lost);
    this.#waiting.clear();
  }

  /** From the first message that somebody asks for, to the end. */
  #watchedToItsEnd<T>(messages: AsyncIterable<T>): AsyncIterable<T> {
    return this.#watched(
      messages,
      () => this.#open.add(this),
      () => this.#open.delete(this),
    );
  }

  #watched<T>(messages: AsyncIterable<T>, asked?: () => void, over?: () => void): AsyncIterable<T> {
    const iterator = messages[Symbol.asyncIterator]();
    const next = (): Promise<IteratorResult<T>> => {
      if (this.#lost !== undefined) return Promise.reject(this.#lost);
      asked?.();
      return this.#untilLost(iterator.next());
    };
    const map = (message: T): T => {
      // What was on its way when the right to it ended does not arrive.
      this.#assertNotLost();
      return message;
    };
    const failed = (error: unknown): unknown => {
      over?.();
      if (error === this.#lost) abandon(iterator);
      return error;
    };
    const left = async (): Promise<IteratorResult<T>> => {
      await iterator.return?.();
      return { done: true, value: undefined };
    };
    return passMessages(
      { [Symbol.asyncIterator]: () => ({ next, return: left }) },
      { map, failed, ...(over && { ended: over, left: over }) },
    );
  }

  #assertNotLost(): void {
    this.check();
    if (this.#lost !== undefined) throw this.#lost;
  }

  #untilLost<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      promise.then(
        (value) => {
          this.#waiting.delete(reject);
          resolve(value);
        },
        (error: unknown) => {
          this.#waiting.delete(reject);
          reject(error);
        },
      );
      this.#waiting.add(reject);
    });
  }
}

function credentialsEnded(): ConnectError {
  return createDenial(
    Code.Unauthenticated,
    "CREDENTIALS_ENDED",
    "the credentials of this call have been revoked, replaced, or have expired while it was open, and it ends as if you had left: a detached run goes on, and one with an idempotency key can be joined again for a while; call again with others",
  );
}
