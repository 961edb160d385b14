import type { Socket } from "node:net";
import { FramedConnection } from "../framed-connection.ts";
import { createCallTemplates } from "../grpc-request.ts";

const messageHeaderBytes = 5;

/**
 * A connection with many open streams of messages that come from the server, for as little memory and time as possible
 * beside the server that is measured. No stream may end.
 */
export class StreamConnection extends FramedConnection {
  readonly #path: string;
  readonly #onMessage: (message: Buffer) => void;
  /** What has come of a message that is not all there, by stream. */
  readonly #parts = new Map<number, Buffer>();

  private constructor(socket: Socket, path: string, onMessage: (message: Buffer) => void) {
    super(socket);
    this.#path = path;
    this.#onMessage = onMessage;
  }

  /** @param onMessage gets a view that is good until it returns */
  static async connect(port: number, path: string, onMessage: (message: Buffer) => void): Promise<StreamConnection> {
    return new StreamConnection(await FramedConnection.socket(port), path, onMessage);
  }

  /** Opens that many streams with the same request. */
  open(request: Uint8Array, count: number): void {
    this.sendCalls(createCallTemplates(this.#path, request), count);
  }

  protected override answered(_stream: number, status: string | undefined): void {
    throw new Error(`a watcher was answered with grpc-status ${status ?? "missing"}`);
  }

  protected override part(stream: number, payload: Buffer): void {
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
}
