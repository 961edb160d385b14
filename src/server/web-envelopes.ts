import { Code, ConnectError } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";

/** The compression that the web port takes. */
export const acceptedCompression: readonly Compression[] = [compressionGzip, compressionBrotli];

/** How the messages of a streamed body are read. */
export interface EnvelopeReading {
  /** What the request says that its messages are compressed by. */
  readonly encoding: string | undefined;
  /** Of one message, in bytes, compressed or not. */
  readonly maxBytes: number;
  /** @throws ConnectError for a message that cannot be decoded */
  readonly check: (message: Uint8Array) => void;
  /** Makes the error for a body that is broken. */
  readonly broken: (problem: string) => ConnectError;
  /** Makes the error for a message that is too large. */
  readonly tooLarge: () => ConnectError;
  /** Told how much waits for the rest of its message. @throws ConnectError where that is too much */
  readonly onWaiting?: (bytes: number) => void;
}

const headBytes = 5;
const compressedFlag = 1;

/**
 * Passes the enveloped messages of Connect and gRPC-Web on, known to be whole, uncompressed and decodable: Connect calls
 * what is not an internal error.
 */
export async function* checkedEnvelopes(
  chunks: AsyncIterable<Uint8Array>,
  reading: EnvelopeReading,
): AsyncGenerator<Uint8Array, void, undefined> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    while (rest.length >= headBytes) {
      const length = rest.readUInt32BE(1);
      if (length > reading.maxBytes) throw reading.tooLarge();
      const end = headBytes + length;
      if (rest.length < end) break;
      yield await checked(rest.readUInt8(0), rest.subarray(headBytes, end), reading);
      rest = rest.subarray(end);
    }
    reading.onWaiting?.(rest.length);
  }
  if (rest.length > 0) throw reading.broken("it ends within a message");
}

async function checked(flags: number, body: Buffer, reading: EnvelopeReading): Promise<Uint8Array> {
  if (flags !== 0 && flags !== compressedFlag) {
    throw reading.broken(`a message has the flags ${flags}, which clients do not send`);
  }
  const message = flags === compressedFlag ? await decompressed(body, reading) : body;
  reading.check(message);
  const head = Buffer.alloc(headBytes);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** @throws ConnectError INVALID_ARGUMENT, RESOURCE_EXHAUSTED, or UNIMPLEMENTED for a compression that is not taken */
export async function decompressed(
  bytes: Uint8Array,
  { encoding, maxBytes, broken, tooLarge }: Omit<EnvelopeReading, "check">,
): Promise<Uint8Array> {
  if (encoding === undefined || encoding === "" || encoding === "identity") {
    throw broken("a message is compressed, and no header says how");
  }
  const compression = acceptedCompression.find(({ name }) => name === encoding);
  if (compression === undefined) {
    const names = acceptedCompression.map(({ name }) => name).join(" and ");
    throw new ConnectError(`the server takes ${names}, and no other compression`, Code.Unimplemented);
  }
  try {
    return await compression.decompress(bytes, maxBytes);
  } catch (error) {
    throw ConnectError.from(error).code === Code.ResourceExhausted ? tooLarge() : broken(`a message is no ${encoding}`);
  }
}
