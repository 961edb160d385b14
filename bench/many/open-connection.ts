import { connect, type Socket } from "node:net";
import type { CallTemplate, CallTemplates } from "../grpc-request.ts";
import { readGrpcStatus } from "../grpc-status.ts";
import { encodeFrame, encodeOpening, flag, frameHeaderBytes, frameType } from "../http2-frames.ts";

/** How one call was answered. */
export interface Answer {
  /** The `grpc-status`. */
  readonly status: number;
  readonly latencyMs: number;
}

/** One connection whose calls come when they come, answered or not, and that looks at how each is answered. */
export class OpenConnection {
  readonly #socket: Socket;
  readonly #templates: CallTemplates;
  readonly #onAnswer: (answer: Answer) => void;
  readonly #finish: ((call: Buffer) => void) | undefined;
  /** When each call that is not answered yet was sent, by its stream. */
  readonly #sentMs = new Map<number, number>();
  #rest: Buffer = Buffer.alloc(0);
  #lastStream = -1;
  #failure: Error | undefined;
  #whenIdle: PromiseWithResolvers<void> | undefined;

  private constructor(
    socket: Socket,
    templates: CallTemplates,
    onAnswer: (answer: Answer) => void,
    finish: ((call: Buffer) => void) | undefined,
  ) {
    this.#socket = socket;
    this.#templates = templates;
    this.#onAnswer = onAnswer;
    this.#finish = finish;
    socket.write(encodeOpening());
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the server has closed the connection")));
  }

  /** @param finish has the last say about each call */
  static async connect(
    port: number,
    templates: CallTemplates,
    onAnswer: (answer: Answer) => void,
    finish?: (call: Buffer) => void,
  ): Promise<OpenConnection> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new OpenConnection(socket, templates, onAnswer, finish);
  }

  /** @throws what has gone wrong, if anything has */
  send(count: number): void {
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
    const calls: Buffer[] = [];
    for (let call = 0; call < count; call++) {
      calls.push(this.#encode(this.#lastStream < 0 ? this.#templates.first : this.#templates.others));
      this.#sentMs.set(this.#lastStream, performance.now());
    }
    this.#socket.write(Buffer.concat(calls));
  }

  /** Resolves when all calls have been answered. @throws what has gone wrong, if anything has */
  async idle(): Promise<void> {
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
    if (this.#sentMs.size > 0) {
      this.#whenIdle = Promise.withResolvers();
      await this.#whenIdle.promise;
    }
  }

  close(): void {
    this.#socket.removeAllListeners("close");
    this.#socket.destroy();
  }

  #encode({ bytes, streamOffsets }: CallTemplate): Buffer {
    const call = Buffer.from(bytes);
    this.#lastStream += 2;
    for (const offset of streamOffsets) {
      call.writeUInt32BE(this.#lastStream, offset);
    }
    this.#finish?.(call);
    return call;
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
      this.#frame(
        bytes[offset + 3],
        bytes[offset + 4] ?? 0,
        bytes.readUInt32BE(offset + 5),
        bytes.subarray(start, end),
      );
      offset = end;
    }
    this.#rest = bytes.subarray(offset);
  }

  #frame(type: number | undefined, flags: number, stream: number, payload: Buffer): void {
    if (type === frameType.headers && (flags & flag.endStream) !== 0) {
      this.#answered(stream, payload);
    } else if (type === frameType.continuation) {
      this.#fail(new Error("the server has sent more headers than fit into a frame"));
    } else if (type === frameType.settings && (flags & flag.ack) === 0) {
      this.#socket.write(encodeFrame(frameType.settings, flag.ack, 0, Buffer.alloc(0)));
    } else if (type === frameType.ping && (flags & flag.ack) === 0) {
      this.#socket.write(encodeFrame(frameType.ping, flag.ack, 0, payload));
    } else if (type === frameType.rstStream && this.#sentMs.has(stream)) {
      this.#fail(new Error(`the server has reset a call (HTTP/2 error ${payload.readUInt32BE(0)})`));
    } else if (type === frameType.goaway) {
      this.#fail(new Error(`the server has sent the connection away (HTTP/2 error ${payload.readUInt32BE(4)})`));
    }
  }

  #answered(stream: number, trailers: Buffer): void {
    const sentMs = this.#sentMs.get(stream);
    if (sentMs === undefined) {
      return;
    }
    this.#sentMs.delete(stream);
    try {
      const status = readGrpcStatus(trailers);
      if (status === undefined) {
        throw new Error("a call was answered without a grpc-status");
      }
      this.#onAnswer({ status: Number(status), latencyMs: performance.now() - sentMs });
    } catch (error) {
      this.#fail(error as Error);
    }
    if (this.#sentMs.size === 0) {
      this.#whenIdle?.resolve();
      this.#whenIdle = undefined;
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#whenIdle?.reject(this.#failure);
  }
}
