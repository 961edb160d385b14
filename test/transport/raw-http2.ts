import { once } from "node:events";
import { connect, type Socket } from "node:net";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const frameTypes = { data: 0, headers: 1, resetStream: 3, settings: 4, ping: 6, windowUpdate: 8, continuation: 9 };
const endStream = 1;
const endHeaders = 4;
const initialWindowSize = 4;

/** A client below HTTP/2 libraries, to do to a server what they would not. */
export class RawHttp2Connection {
  readonly socket: Socket;
  #nextStream = 1;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => undefined);
  }

  /** Connects and announces how much the server may send, to each stream and in all, without ever being asked again. */
  static async open(port: number, windowBytes: number, localAddress?: string): Promise<RawHttp2Connection> {
    const socket = connect({ port, host: "127.0.0.1", ...(localAddress !== undefined && { localAddress }) });
    await once(socket, "connect");
    const connection = new RawHttp2Connection(socket);
    const setting = Buffer.alloc(6);
    setting.writeUInt16BE(initialWindowSize, 0);
    setting.writeUInt32BE(windowBytes, 2);
    const increment = Buffer.alloc(4);
    increment.writeUInt32BE(Math.max(1, windowBytes - 65_535));
    socket.write(
      Buffer.concat([
        preface,
        frame(frameTypes.settings, 0, 0, setting),
        frame(frameTypes.windowUpdate, 0, 0, increment),
      ]),
    );
    return connection;
  }

  /** Starts a gRPC call with one empty request message, or with the given bytes as its body. */
  call(path: string, headers: Record<string, string> = {}, body: Buffer = Buffer.alloc(5)): void {
    this.socket.write(this.callFrames(path, headers, { body, ends: true }).bytes);
  }

  /** Starts calls and resets them at once: as one write, which no server sees half of. */
  reset(path: string, count: number): void {
    const calls = Array.from({ length: count }, () => this.resetFrames(path, undefined));
    this.socket.write(Buffer.concat(calls));
  }

  /** More of a call's body. */
  data(stream: number, body: Buffer): void {
    this.socket.write(frame(frameTypes.data, 0, stream, body));
  }

  /** The end of a call's body. */
  endData(stream: number): void {
    this.socket.write(frame(frameTypes.data, endStream, stream, Buffer.alloc(0)));
  }

  ping(count: number): void {
    const one = frame(frameTypes.ping, 0, 0, Buffer.alloc(8));
    this.socket.write(Buffer.concat(Array.from({ length: count }, () => one)));
  }

  settings(count: number): void {
    const one = frame(frameTypes.settings, 0, 0, Buffer.alloc(0));
    this.socket.write(Buffer.concat(Array.from({ length: count }, () => one)));
  }

  /** Headers that never end. */
  continuations(path: string, count: number): void {
    const { stream, bytes } = this.callFrames(path, {}, { body: undefined, ends: false, endsHeaders: false });
    const more = frame(frameTypes.continuation, 0, stream, literal("x-more", "y".repeat(16)));
    this.socket.write(Buffer.concat([bytes, ...Array.from({ length: count }, () => more)]));
  }

  /** The frames of a call that is cancelled before its caller has said that the request is complete. */
  resetFrames(path: string, body: Buffer | undefined): Buffer {
    const { stream, bytes } = this.callFrames(path, {}, { body, ends: false });
    const code = Buffer.alloc(4);
    code.writeUInt32BE(8);
    return Buffer.concat([bytes, frame(frameTypes.resetStream, 0, stream, code)]);
  }

  /** The frames of a call that begins. */
  callFrames(
    path: string,
    headers: Record<string, string>,
    { body, ends, endsHeaders = true }: { body: Buffer | undefined; ends: boolean; endsHeaders?: boolean },
  ): { readonly stream: number; readonly bytes: Buffer } {
    const stream = this.#nextStream;
    this.#nextStream += 2;
    const block = Buffer.concat(
      Object.entries({
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        te: "trailers",
        "content-type": "application/grpc",
        ...headers,
      }).map(([name, value]) => literal(name, value)),
    );
    const head = frame(frameTypes.headers, endsHeaders ? endHeaders : 0, stream, block);
    const rest = body === undefined ? [] : [frame(frameTypes.data, ends ? endStream : 0, stream, body)];
    return { stream, bytes: Buffer.concat([head, ...rest]) };
  }
}

/** The frames that a server has sent, in order. */
export function framesIn(bytes: Buffer): { type: number; stream: number; payload: Buffer }[] {
  const frames: { type: number; stream: number; payload: Buffer }[] = [];
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    frames.push({
      type: bytes.readUInt8(at + 3),
      stream: bytes.readUInt32BE(at + 5) & 0x7fffffff,
      payload: bytes.subarray(at + 9, at + 9 + length),
    });
    at += 9 + length;
  }
  return frames;
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

/** A header field as HPACK's literal without indexing, without Huffman coding. */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  if (bytes.length < 127) {
    return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  }
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>= 7) {
    length.push((rest & 127) | 128);
  }
  length.push(rest);
  return Buffer.concat([Buffer.from(length), bytes]);
}
