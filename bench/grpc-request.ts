import { encodeFrame, flag, frameHeaderBytes, frameType } from "./http2-frames.ts";

/** A unary call as bytes, but for the number of its stream. */
export interface CallTemplate {
  readonly bytes: Buffer;
  /** Where the number of the stream goes. */
  readonly streamOffsets: readonly number[];
}

/**
 * The calls of one connection: the first tells the server the headers of all, as HPACK has it, and the others refer to
 * them by number, as any client's do.
 */
export interface CallTemplates {
  readonly first: CallTemplate;
  readonly others: CallTemplate;
}

/** The entry of HPACK's dynamic table that was added last. */
const newestEntry = 62;

/** The headers are those that grpc-js sends for a call without a deadline. */
export function createCallTemplates(
  path: string,
  message: Uint8Array,
  more: readonly (readonly [string, string])[] = [],
): CallTemplates {
  const headers: readonly (readonly [string, string])[] = [
    [":path", path],
    [":authority", "localhost"],
    ["grpc-accept-encoding", "identity,deflate,gzip"],
    ["accept-encoding", "identity"],
    ["user-agent", "retake-bench"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...more,
  ];
  // ":method: POST" and ":scheme: http" of the static table.
  const pseudo = Buffer.from([0x83, 0x86]);
  const added = headers.map(([name, value]) =>
    Buffer.concat([Buffer.from([0x40]), encodeString(name), encodeString(value)]),
  );
  const referred = headers.map((_, index) => 0x80 | (newestEntry + headers.length - 1 - index));
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  const body = Buffer.concat([prefix, message]);
  return {
    first: createTemplate(Buffer.concat([pseudo, ...added]), body),
    others: createTemplate(Buffer.concat([pseudo, Buffer.from(referred)]), body),
  };
}

function createTemplate(block: Buffer, body: Buffer): CallTemplate {
  return {
    bytes: Buffer.concat([
      encodeFrame(frameType.headers, flag.endHeaders, 0, block),
      encodeFrame(frameType.data, flag.endStream, 0, body),
    ]),
    streamOffsets: [5, frameHeaderBytes + block.length + 5],
  };
}

/** Uncompressed. */
function encodeString(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([encodeLength(bytes.length), bytes]);
}

/** As HPACK has numbers behind one bit of something else (RFC 7541, section 5.1). */
function encodeLength(length: number): Buffer {
  if (length < 0x7f) {
    return Buffer.from([length]);
  }
  const encoded = [0x7f];
  let rest = length - 0x7f;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) {
    encoded.push(0x80 | (rest & 0x7f));
  }
  return Buffer.from([...encoded, rest]);
}
