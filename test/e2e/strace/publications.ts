import type { SystemCall } from "./system-calls.ts";

const frameHeaderBytes = 9;
const dataFrame = 0;
const headersFrame = 1;

/** Bytes of one HTTP/2 stream, each of which was handed to the system at a known time. */
class Sent {
  readonly #parts: { readonly bytes: Buffer; readonly at: number }[] = [];

  add(bytes: Buffer, at: number): void {
    this.#parts.push({ bytes, at });
  }

  /** When the first byte of these was sent. */
  sentAt(bytes: Uint8Array): number | undefined {
    const found = Buffer.concat(this.#parts.map((part) => part.bytes)).indexOf(bytes);
    let start = 0;
    for (const part of this.#parts) {
      if (found >= start && found < start + part.bytes.length) {
        return part.at;
      }
      start += part.bytes.length;
    }
    return undefined;
  }
}

interface Stream {
  readonly data: Sent;
  /** When its first headers were sent. */
  headersAt: number | undefined;
}

/** What a traced server sent to its HTTP/2 clients, and when: all times are those at which a system call began. */
export class Publications {
  readonly #streams: Stream[] = [];

  constructor(calls: readonly SystemCall[], port: number) {
    const connections = new Map<string, SystemCall[]>();
    for (const call of calls) {
      const sends = ["write", "writev", "sendto", "sendmsg"].includes(call.name) && (call.result ?? 0) > 0;
      if (sends && new RegExp(`^TCP(v6)?:\\[\\S*:${port}->`).test(call.file)) {
        connections.set(call.file, [...(connections.get(call.file) ?? []), call]);
      }
    }
    for (const sends of connections.values()) {
      this.#streams.push(...readFrames(sends));
    }
  }

  /** When these bytes of a message were first sent to anybody. @throws Error when they never were */
  sentAt(bytes: Uint8Array, what: string): number {
    return this.#first((stream) => stream.data.sentAt(bytes), what);
  }

  /** When the first headers were sent of the answer that has these bytes in it. @throws Error when they never were */
  headersSentAt(bytes: Uint8Array, what: string): number {
    return this.#first((stream) => (stream.data.sentAt(bytes) === undefined ? undefined : stream.headersAt), what);
  }

  #first(timeOf: (stream: Stream) => number | undefined, what: string): number {
    const times = this.#streams.map(timeOf).filter((at) => at !== undefined);
    if (times.length === 0) {
      throw new Error(`${what} was never sent`);
    }
    return Math.min(...times);
  }
}

/** Takes the frames of one connection apart (RFC 9113, section 4.1). */
function readFrames(sends: readonly SystemCall[]): Stream[] {
  const pieces = sends.map(({ data, result, began }) => ({ bytes: data.subarray(0, result), at: began }));
  const bytes = Buffer.concat(pieces.map((piece) => piece.bytes));
  const starts: number[] = [];
  let total = 0;
  for (const piece of pieces) {
    starts.push(total);
    total += piece.bytes.length;
  }
  const timeAt = (offset: number): number => pieces[starts.findLastIndex((start) => start <= offset)]?.at ?? 0;

  const streams = new Map<number, Stream>();
  for (let at = 0; at + frameHeaderBytes <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    const type = bytes[at + 3];
    const id = bytes.readUInt32BE(at + 5) & 0x7fffffff;
    const payload = bytes.subarray(at + frameHeaderBytes, at + frameHeaderBytes + length);
    let stream = streams.get(id);
    if (stream === undefined) {
      stream = { data: new Sent(), headersAt: undefined };
      streams.set(id, stream);
    }
    if (type === headersFrame) {
      stream.headersAt ??= timeAt(at);
    } else if (type === dataFrame) {
      stream.data.add(payload, timeAt(at));
    }
    at += frameHeaderBytes + length;
  }
  return [...streams.values()];
}
