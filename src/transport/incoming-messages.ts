import { constants, type ServerHttp2Stream } from "node:http2";
import { type Held, holdOn, noteBytesReceived, smallBytes } from "./session-guard.ts";

/** What is before a message: a flag and its length. */
const prefixBytes = 5;

/** A message in more parts than these is much, however small they are: each costs more than its bytes. */
const mostParts = 64;

const counterKey = Symbol("incoming messages");

/** The listener is the same function for every stream, which finds its counter by it. */
interface CountedStream extends ServerHttp2Stream {
  [counterKey]: IncomingMessages;
}

/**
 * Counts the messages that come in for a call that grpc-js serves, which puts them together unseen: each one that is under
 * way counts for its source with all of its size, and one too many resets its call. To be called before grpc-js listens.
 */
export function countMessages(stream: ServerHttp2Stream, receiveMaxBytes: number): void {
  (stream as CountedStream)[counterKey] = new IncomingMessages(stream, receiveMaxBytes);
  stream.on("data", onData);
}

function onData(this: ServerHttp2Stream, chunk: Buffer): void {
  (this as CountedStream)[counterKey].receive(chunk);
}

class IncomingMessages {
  readonly #stream: ServerHttp2Stream;
  readonly #receiveMaxBytes: number;
  readonly #prefix = Buffer.alloc(prefixBytes);
  /** Of the prefix that is being read. */
  #prefixRead = 0;
  #size = 0;
  /** Of the message that is being read. */
  #left = 0;
  #parts = 0;
  #received = 0;
  #held: Held | undefined;

  constructor(stream: ServerHttp2Stream, receiveMaxBytes: number) {
    this.#stream = stream;
    this.#receiveMaxBytes = receiveMaxBytes;
  }

  receive(chunk: Buffer): void {
    this.#received += chunk.length;
    for (let at = 0; at < chunk.length; ) {
      at += this.#left === 0 ? this.#readPrefix(chunk, at) : this.#readMessage(chunk.length - at);
    }
    if (this.#left === 0) return;
    noteBytesReceived(this.#stream, this.#received);
    const isMuch = this.#size - this.#left > smallBytes || this.#parts > mostParts;
    // What is too large is refused by its length alone.
    if (this.#held === undefined && isMuch && this.#size <= this.#receiveMaxBytes) this.#hold();
  }

  #readPrefix(chunk: Buffer, at: number): number {
    const taken = chunk.copy(this.#prefix, this.#prefixRead, at);
    this.#prefixRead += taken;
    if (this.#prefixRead === prefixBytes) {
      this.#prefixRead = 0;
      this.#parts = 0;
      this.#size = this.#prefix.readUInt32BE(1);
      this.#left = this.#size;
    }
    return taken;
  }

  #readMessage(bytes: number): number {
    const taken = Math.min(this.#left, bytes);
    this.#left -= taken;
    this.#parts++;
    if (this.#left === 0) {
      this.#held?.release();
      this.#held = undefined;
    }
    return taken;
  }

  #hold(): void {
    this.#held = holdOn(this.#stream, this.#size);
    if (this.#held === undefined) this.#stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }
}
