import { connect, type Socket } from "node:net";
import type { CallTemplate, CallTemplates } from "./grpc-request.ts";
import { readGrpcStatus } from "./grpc-status.ts";
import { encodeFrame, encodeOpening, flag, frameHeaderBytes, frameType } from "./http2-frames.ts";

/**
 * One connection that keeps a number of calls in flight. It sends ready-made frames and looks at no more of the answers
 * than their ends, so that the load costs little beside the server: a client that used node:http2 would take as much of
 * the machine as the server does, and measure itself.
 */
export class LoadConnection {
  readonly #socket: Socket;
  readonly #templates: CallTemplates;
  #rest: Buffer = Buffer.alloc(0);
  #lastStream = -1;
  #repeating = false;
  #inFlight = 0;
  #failure: Error | undefined;
  #whenIdle: PromiseWithResolvers<void> | undefined;
  /** When the one call in flight was sent, by `performance.now()`. */
  #sentMs = 0;
  #latenciesMicros: number[] | undefined;
  completed = 0;

  private constructor(socket: Socket, templates: CallTemplates) {
    this.#socket = socket;
    this.#templates = templates;
    socket.write(encodeOpening());
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the server has closed the connection")));
  }

  static async connect(port: number, templates: CallTemplates): Promise<LoadConnection> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new LoadConnection(socket, templates);
  }

  /** Sends that many calls, and another whenever one is answered. Latencies, in µs, are told for one in flight only. */
  start(inFlight: number, latenciesMicros?: number[]): void {
    this.throwFailure();
    this.#repeating = true;
    this.#latenciesMicros = latenciesMicros;
    this.#send(inFlight);
  }

  /** Sends no more calls; resolves when all have been answered. @throws what went wrong since `start` */
  async stop(): Promise<void> {
    this.#repeating = false;
    this.throwFailure();
    if (this.#inFlight > 0) {
      this.#whenIdle = Promise.withResolvers();
      await this.#whenIdle.promise;
      this.#whenIdle = undefined;
    }
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

  #send(count: number): void {
    this.#inFlight += count;
    let left = count;
    if (this.#lastStream < 0 && left > 0) {
      this.#socket.write(this.#encode(this.#templates.first, 1));
      left--;
    }
    if (left > 0) {
      this.#socket.write(this.#encode(this.#templates.others, left));
    }
    if (this.#latenciesMicros !== undefined) {
      this.#sentMs = performance.now();
    }
  }

  #encode({ bytes, streamOffsets }: CallTemplate, count: number): Buffer {
    const calls = Buffer.allocUnsafe(bytes.length * count);
    for (let start = 0; start < calls.length; start += bytes.length) {
      bytes.copy(calls, start);
      this.#lastStream += 2;
      for (const offset of streamOffsets) {
        calls.writeUInt32BE(this.#lastStream, start + offset);
      }
    }
    return calls;
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let offset = 0;
    let answered = 0;
    while (bytes.length - offset >= frameHeaderBytes) {
      const start = offset + frameHeaderBytes;
      const end = start + bytes.readUIntBE(offset, 3);
      if (end > bytes.length) {
        break;
      }
      const type = bytes[offset + 3];
      const flags = bytes[offset + 4] ?? 0;
      if (type === frameType.headers && (flags & flag.endStream) !== 0) {
        answered++;
        this.#check(bytes.subarray(start, end));
      } else if (type === frameType.continuation) {
        this.#fail(new Error("the server has sent more headers than fit into a frame"));
      } else if (type !== frameType.headers && type !== frameType.data) {
        this.#control(type, flags, bytes.subarray(start, end));
      }
      offset = end;
    }
    this.#rest = bytes.subarray(offset);
    if (answered > 0) {
      this.#answered(answered);
    }
  }

  #answered(count: number): void {
    this.#latenciesMicros?.push((performance.now() - this.#sentMs) * 1000);
    this.completed += count;
    this.#inFlight -= count;
    if (this.#repeating && this.#failure === undefined) {
      this.#send(count);
    } else if (this.#inFlight === 0) {
      this.#whenIdle?.resolve();
    }
  }

  #check(trailers: Buffer): void {
    try {
      const status = readGrpcStatus(trailers);
      if (status !== "0") {
        this.#fail(new Error(`a call was answered with grpc-status ${status ?? "missing"}`));
      }
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #control(type: number | undefined, flags: number, payload: Buffer): void {
    if (type === frameType.settings && (flags & flag.ack) === 0) {
      this.#socket.write(encodeFrame(frameType.settings, flag.ack, 0, Buffer.alloc(0)));
    } else if (type === frameType.ping && (flags & flag.ack) === 0) {
      this.#socket.write(encodeFrame(frameType.ping, flag.ack, 0, payload));
    } else if (type === frameType.rstStream) {
      this.#fail(new Error(`the server has reset a call (HTTP/2 error ${payload.readUInt32BE(0)})`));
    } else if (type === frameType.goaway) {
      this.#fail(new Error(`the server has sent the connection away (HTTP/2 error ${payload.readUInt32BE(4)})`));
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#whenIdle?.reject(this.#failure);
  }
}
