import { connect, type Socket } from "node:net";
import type { CallTemplate, CallTemplates } from "./grpc-request.ts";
import { readGrpcStatus } from "./grpc-status.ts";
import { encodeFrame, encodeOpening, flag, frameHeaderBytes, frameType } from "./http2-frames.ts";

/**
 * A connection that sends ready-made frames and looks at no more of the answers than it must, so that a load costs little
 * beside the server: a client that used node:http2 would take as much of the machine as the server does, and measure
 * itself.
 */
export abstract class FramedConnection {
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);
  #lastStream = -1;
  #failure: Error | undefined;
  #whenAnswered: PromiseWithResolvers<void> | undefined;

  protected constructor(socket: Socket) {
    this.#socket = socket;
    socket.write(encodeOpening());
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.fail(error));
    socket.on("close", () => this.fail(new Error("the server has closed the connection")));
  }

  protected static async socket(port: number): Promise<Socket> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return socket;
  }

  /** @throws what has gone wrong, if anything has */
  throwFailure(): void {
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
  }

  close(): void {
    this.#socket.removeAllListeners("close");
    this.#socket.destroy();
  }

  /** That of the call that was sent last. */
  protected get lastStream(): number {
    return this.#lastStream;
  }

  protected get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  protected sendCalls({ first, others }: CallTemplates, count: number): void {
    let left = count;
    if (this.#lastStream < 0 && left > 0) {
      this.#socket.write(this.#encode(first, 1));
      left--;
    }
    if (left > 0) {
      this.#socket.write(this.#encode(others, left));
    }
  }

  /** Until `allAnswered`. @throws what goes wrong meanwhile */
  protected async untilAllAnswered(): Promise<void> {
    this.#whenAnswered = Promise.withResolvers();
    await this.#whenAnswered.promise;
  }

  protected allAnswered(): void {
    this.#whenAnswered?.resolve();
    this.#whenAnswered = undefined;
  }

  protected fail(error: Error): void {
    this.#failure ??= error;
    this.#whenAnswered?.reject(this.#failure);
  }

  /** A call was answered, with this `grpc-status`. What it throws is what has gone wrong. */
  protected abstract answered(stream: number, status: string | undefined): void;

  /** Has the last say about a call that is about to be sent. */
  protected finish?(call: Buffer): void;

  /** A part of an answer has come, a view that is good until this returns. */
  protected part?(stream: number, bytes: Buffer): void;

  /** All that has come at once was read. */
  protected read?(): void;

  /** Whether it matters that the server has reset that one. */
  protected isOpen(_stream: number): boolean {
    return true;
  }

  #encode({ bytes, streamOffsets }: CallTemplate, count: number): Buffer {
    const calls = Buffer.allocUnsafe(bytes.length * count);
    for (let start = 0; start < calls.length; start += bytes.length) {
      bytes.copy(calls, start);
      this.#lastStream += 2;
      for (const offset of streamOffsets) {
        calls.writeUInt32BE(this.#lastStream, start + offset);
      }
      this.finish?.(calls.subarray(start, start + bytes.length));
    }
    return calls;
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let offset = 0;
    while (bytes.length - offset >= frameHeaderBytes) {
      const start = offset + frameHeaderBytes;
      const end = start + bytes.readUIntBE(offset, 3);
      if (end > bytes.length) {
        break;
      }
      this.#frame(bytes, offset, end);
      offset = end;
    }
    this.#rest = bytes.subarray(offset);
    this.read?.();
  }

  #frame(bytes: Buffer, offset: number, end: number): void {
    const flags = bytes[offset + 4] ?? 0;
    const stream = bytes.readUInt32BE(offset + 5);
    const start = offset + frameHeaderBytes;
    switch (bytes[offset + 3]) {
      case frameType.data:
        this.part?.(stream, bytes.subarray(start, end));
        break;
      case frameType.headers:
        if ((flags & flag.endStream) !== 0) {
          this.#ended(stream, bytes.subarray(start, end));
        }
        break;
      case frameType.continuation:
        this.fail(new Error("the server has sent more headers than fit into a frame"));
        break;
      case frameType.settings:
        if ((flags & flag.ack) === 0) {
          this.#socket.write(encodeFrame(frameType.settings, flag.ack, 0, Buffer.alloc(0)));
        }
        break;
      case frameType.ping:
        if ((flags & flag.ack) === 0) {
          this.#socket.write(encodeFrame(frameType.ping, flag.ack, 0, bytes.subarray(start, end)));
        }
        break;
      case frameType.rstStream:
        if (this.isOpen(stream)) {
          this.fail(new Error(`the server has reset a call (HTTP/2 error ${bytes.readUInt32BE(start)})`));
        }
        break;
      case frameType.goaway:
        this.fail(new Error(`the server has sent the connection away (HTTP/2 error ${bytes.readUInt32BE(start + 4)})`));
        break;
    }
  }

  #ended(stream: number, trailers: Buffer): void {
    try {
      this.answered(stream, readGrpcStatus(trailers));
    } catch (error) {
      this.fail(error as Error);
    }
  }
}
