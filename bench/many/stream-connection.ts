import { connect, type Socket } from "node:net";
import { type CallTemplate, createCallTemplates } from "../grpc-request.ts";
import { readGrpcStatus } from "../grpc-status.ts";
import { encodeFrame, encodeOpening, flag, frameHeaderBytes, frameType } from "../http2-frames.ts";

const messageHeaderBytes = 5;

/**
 * A connection with many open streams of messages that come from the server, for as little memory and time as possible
 * beside the server that is measured.
 */
export class StreamConnection implements Disposable {
  readonly #socket: Socket;
  readonly #path: string;
  readonly #onMessage: (message: Buffer) => void;
  /** What has come of a message that is not all there, by stream. */
  readonly #parts = new Map<number, Buffer>();
  #rest: Buffer = Buffer.alloc(0);
  #lastStream = -1;
  #failure: Error | undefined;

  private constructor(socket: Socket, path: string, onMessage: (message: Buffer) => void) {
    this.#socket = socket;
    this.#path = path;
    this.#onMessage = onMessage;
    socket.write(encodeOpening());
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the server has closed a connection with watchers")));
  }

  /** @param onMessage gets a view that is good until it returns */
  static async connect(port: number, path: string, onMessage: (message: Buffer) => void): Promise<StreamConnection> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new StreamConnection(socket, path, onMessage);
  }

  /** Opens that many streams with the same request. */
  open(request: Uint8Array, count: number): void {
    const { first, others } = createCallTemplates(this.#path, request);
    for (let opened = 0; opened < count; opened++) {
      this.#send(this.#lastStream < 0 ? first : others);
    }
  }

  /** @throws what has gone wrong, if anything has: no stream may end */
  throwFailure(): void {
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
  }

  [Symbol.dispose](): void {
    this.#socket.removeAllListeners("close");
    this.#socket.destroy();
  }

  #send({ bytes, streamOffsets }: CallTemplate): void {
    const call = Buffer.from(bytes);
    this.#lastStream += 2;
    for (const offset of streamOffsets) {
      call.writeUInt32BE(this.#lastStream, offset);
    }
    this.#socket.write(call);
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
      const payload = bytes.subarray(start, end);
      const flags = bytes[offset + 4] ?? 0;
      switch (bytes[offset + 3]) {
        case frameType.data:
          this.#data(bytes.readUInt32BE(offset + 5), payload);
          break;
        case frameType.headers:
          if ((flags & flag.endStream) !== 0) {
            this.#fail(new Error(`a watcher was answered with grpc-status ${readGrpcStatus(payload) ?? "missing"}`));
          }
          break;
        case frameType.settings:
        case frameType.ping:
          if ((flags & flag.ack) === 0) {
            const type = bytes[offset + 3] ?? 0;
            const answer = type === frameType.ping ? payload : Buffer.alloc(0);
            this.#socket.write(encodeFrame(type, flag.ack, 0, answer));
          }
          break;
        case frameType.rstStream:
        case frameType.goaway:
          this.#fail(new Error("the server has reset a watcher, or sent its connection away"));
          break;
      }
      offset = end;
    }
    this.#rest = bytes.subarray(offset);
  }

  #data(stream: number, payload: Buffer): void {
    const part = this.#parts.get(stream);
    const bytes = part === undefined ? payload : Buffer.concat([part, payload]);
    let offset = 0;
    while (bytes.length - offset >= messageHeaderBytes) {
      const start = offset + messageHeaderBytes;
      const end = start + bytes.readUInt32BE(offset + 1);
      if (end > bytes.length) {
        break;
      }
      this.#onMessage(bytes.subarray(start, end));
      offset = end;
    }
    if (offset < bytes.length) {
      this.#parts.set(stream, Buffer.from(bytes.subarray(offset)));
    } else if (part !== undefined) {
      this.#parts.delete(stream);
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
  }
}
