import type { Writable } from "node:stream";

/** How much a call may have under way before its producer has to wait: the usual size of an HTTP/2 frame. */
const maxOutstandingBytes = 16_384;

/** What a message costs besides its bytes, so that a stream of empty messages is bounded too. */
const messageOverheadBytes = 256;

/**
 * Writes messages to a grpc-js stream with back-pressure counted in bytes. It never waits for `drain`, which does not
 * come once the call is over, but for the write's own call-back or `close`, whichever is first.
 */
export class MessageWriter {
  readonly #stream: Writable;
  #outstandingBytes = 0;
  #closed = false;
  #resume: (() => void) | undefined;

  constructor(stream: Writable) {
    this.#stream = stream;
  }

  /** Writes one message. Returns a promise, to be awaited before the next write, when the peer lags behind. */
  write(message: Buffer): Promise<void> | undefined {
    if (this.#closed) {
      return undefined;
    }
    const cost = message.length + messageOverheadBytes;
    this.#outstandingBytes += cost;
    this.#stream.write(message, () => {
      this.#outstandingBytes -= cost;
      if (this.#outstandingBytes < maxOutstandingBytes) {
        this.#wake();
      }
    });
    if (this.#outstandingBytes < maxOutstandingBytes) {
      return undefined;
    }
    return new Promise((resolve) => {
      this.#resume = resolve;
    });
  }

  /** The call is over: a waiting producer goes on, and what it still writes is dropped. */
  close(): void {
    this.#closed = true;
    this.#wake();
  }

  #wake(): void {
    this.#resume?.();
    this.#resume = undefined;
  }
}
