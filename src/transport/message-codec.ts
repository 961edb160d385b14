import {
  type BinaryReadOptions,
  type BinaryWriteOptions,
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type Message,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { methodName } from "./method.ts";

/** Options of protobuf-es for the binary format. */
export type BinaryOptions = Partial<BinaryReadOptions & BinaryWriteOptions>;

/** How messages of one side of a method are read. */
export interface MessageReaderOptions {
  /** Names the message in errors: "request of pkg.Service/Method". */
  readonly what: string;
  /** The code when the bytes are not such a message: the caller's fault on a server, the server's on a client. */
  readonly codeWhenMalformed: Code;
  readonly maxBytes: number;
  readonly binaryOptions: BinaryOptions | undefined;
}

/** Returns a decoder that fails with ResourceExhausted above the size limit and with a message a person can use. */
export function createMessageDecoder(desc: DescMessage, options: MessageReaderOptions): (bytes: Uint8Array) => Message {
  const { what, codeWhenMalformed, maxBytes, binaryOptions } = options;
  return (bytes) => {
    if (bytes.length > maxBytes) {
      throw tooLarge(what, bytes.length, maxBytes);
    }
    try {
      // A plain view: `bytes` fields are slices of what is decoded, and must be Uint8Array, not Buffer.
      return fromBinary(desc, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength), binaryOptions);
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      throw new ConnectError(
        `the ${what} is not a valid ${desc.typeName}: ${problem}`,
        codeWhenMalformed,
        undefined,
        undefined,
        error,
      );
    }
  };
}

/** How messages of one side of a method are written. */
export interface MessageWriterOptions {
  /** Names the message in errors: "response of pkg.Service/Method". */
  readonly what: string;
  /** The code when the message cannot be encoded. */
  readonly codeWhenUnencodable: Code;
  readonly maxBytes: number;
  readonly binaryOptions: BinaryOptions | undefined;
}

/** Returns an encoder that fails with ResourceExhausted above the size limit and with a message a person can use. */
export function createMessageEncoder(
  desc: DescMessage,
  options: MessageWriterOptions,
): (message: Message) => Uint8Array {
  const { what, codeWhenUnencodable, maxBytes, binaryOptions } = options;
  return (message) => {
    let bytes: Uint8Array;
    try {
      bytes = toBinary(desc, message, binaryOptions);
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      throw new ConnectError(
        `the ${what} cannot be encoded: ${problem}`,
        codeWhenUnencodable,
        undefined,
        undefined,
        error,
      );
    }
    if (bytes.length > maxBytes) {
      throw tooLarge(what, bytes.length, maxBytes);
    }
    return bytes;
  };
}

/** The same bytes as grpc-js wants them. A small array gets a buffer for that, so it is not done where nobody asks. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Completes what a caller or an implementation gave to a whole message. Throws a ConnectError for anything else. */
export function completeMessage(
  method: DescMethod,
  side: "request" | "response",
  init: unknown,
  codeWhenWrong: Code,
): Message {
  const desc = side === "request" ? method.input : method.output;
  const fail = (problem: string): ConnectError =>
    new ConnectError(`the ${side} of ${methodName(method)} is ${problem}, not a ${desc.typeName}`, codeWhenWrong);
  if (typeof init !== "object" || init === null) {
    throw fail(String(init));
  }
  if ("$typeName" in init && init.$typeName !== undefined && init.$typeName !== desc.typeName) {
    throw fail(`a ${String(init.$typeName)}`);
  }
  try {
    return create(desc, init as MessageInitShape<DescMessage>);
  } catch (error) {
    throw fail(error instanceof Error ? error.message : String(error));
  }
}

function tooLarge(what: string, bytes: number, maxBytes: number): ConnectError {
  return new ConnectError(`the ${what} has ${bytes} bytes, more than the limit of ${maxBytes}`, Code.ResourceExhausted);
}
