import { abandon } from "./abandon.ts";

/** What to do with the messages of a stream on their way. */
export interface Passage<In, Out> {
  /** What becomes of each message. May throw, which ends the stream like an error of its own. */
  readonly map: (message: In) => Out;
  /** It has ended well. */
  readonly ended?: () => void;
  /** It has failed: what is thrown instead. */
  readonly failed?: (error: unknown) => unknown;
  /** Whoever reads it wants no more, before its end. */
  readonly left?: () => void;
}

/**
 * Passes on the messages of a stream, to be read once. It is what an async generator around them would do, in a fraction
 * of the memory: of idle streams a server has many, each inside several of these.
 */
export function passMessages<In, Out>(
  messages: AsyncIterable<In>,
  passage: Passage<In, Out>,
): AsyncIterableIterator<Out, undefined> {
  return new PassedMessages(messages[Symbol.asyncIterator](), passage);
}

/** The message itself. */
export function same<T>(message: T): T {
  return message;
}

class PassedMessages<In, Out> implements AsyncIterableIterator<Out, undefined> {
  readonly #iterator: AsyncIterator<In>;
  readonly #passage: Passage<In, Out>;
  #over = false;

  constructor(iterator: AsyncIterator<In>, passage: Passage<In, Out>) {
    this.#iterator = iterator;
    this.#passage = passage;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Out, undefined>> {
    if (this.#over) {
      return Promise.resolve({ done: true, value: undefined });
    }
    try {
      return Promise.resolve(this.#iterator.next()).then(this.#onResult, this.#onError);
    } catch (error) {
      return new Promise((resolve) => resolve(this.#onError(error)));
    }
  }

  async return(): Promise<IteratorResult<Out, undefined>> {
    if (!this.#over) {
      this.#over = true;
      this.#passage.left?.();
      await this.#iterator.return?.();
    }
    return { done: true, value: undefined };
  }

  // Made once for all messages: a stream that waits for its next one holds them.
  readonly #onResult = (result: IteratorResult<In, unknown>): IteratorResult<Out, undefined> => {
    if (result.done !== true) {
      let value: Out;
      try {
        value = this.#passage.map(result.value);
      } catch (error) {
        abandon(this.#iterator);
        throw this.#failure(error);
      }
      return { done: false, value };
    }
    if (!this.#over) {
      this.#over = true;
      this.#passage.ended?.();
    }
    return { done: true, value: undefined };
  };

  readonly #onError = (error: unknown): never => {
    throw this.#failure(error);
  };

  #failure(error: unknown): unknown {
    if (this.#over) {
      return error;
    }
    this.#over = true;
    return this.#passage.failed === undefined ? error : this.#passage.failed(error);
  }
}
