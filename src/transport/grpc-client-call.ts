import type { DescMethod, Message } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type StreamRequest,
  type StreamResponse,
  type UnaryRequest,
  type UnaryResponse,
} from "@connectrpc/connect";
import {
  type CallOptions,
  type Client,
  type ClientDuplexStream,
  type Metadata,
  type ServiceError,
  type StatusObject,
  status as statusCode,
} from "@grpc/grpc-js";
import { abandon } from "./abandon.ts";
import { errorFromAborted, throwIfAborted } from "./aborted.ts";
import { errorFromCall } from "./channel-status.ts";
import { asBuffer, type BinaryOptions, createMessageDecoder, createMessageEncoder } from "./message-codec.ts";
import { readMessages } from "./message-reader.ts";
import { MessageWriter } from "./message-writer.ts";
import { headersFromMetadata } from "./metadata.ts";
import { methodName } from "./method.ts";

/** How a client encodes requests and decodes responses of one method. Sizes are limited by the channel's options. */
export interface ClientCodec {
  readonly encode: (message: Message) => Uint8Array;
  readonly decode: (bytes: Buffer) => Message;
}

/** Everything about a call but its message and signal. */
export interface GrpcClientCall {
  readonly client: Client;
  readonly codec: ClientCodec;
  readonly path: string;
  readonly metadata: Metadata;
  readonly options: CallOptions;
}

/** Makes the codec of a method. */
export function createClientCodec(method: DescMethod, binaryOptions: BinaryOptions | undefined): ClientCodec {
  return {
    encode: createMessageEncoder(method.input, {
      what: `request of ${methodName(method)}`,
      codeWhenUnencodable: Code.InvalidArgument,
      maxBytes: Number.POSITIVE_INFINITY,
      binaryOptions,
    }),
    decode: createMessageDecoder(method.output, {
      what: `response of ${methodName(method)}`,
      codeWhenMalformed: Code.Internal,
      maxBytes: Number.POSITIVE_INFINITY,
      binaryOptions,
    }),
  };
}

/** Carries out a unary call. Rejects with a ConnectError. */
export function callUnary(request: UnaryRequest, call: GrpcClientCall): Promise<UnaryResponse> {
  const { signal, method } = request;
  return new Promise((resolve, reject) => {
    throwIfAborted(signal);
    const argument = asBuffer(call.codec.encode(request.message));
    let header: Headers | undefined;
    let failed: ServiceError | null = null;
    let answer: Buffer | undefined;
    const surface = start(() =>
      call.client.makeUnaryRequest(
        call.path,
        passBytes,
        passBytes,
        argument,
        call.metadata,
        call.options,
        (error: ServiceError | null, value?: Buffer) => {
          failed = error;
          answer = value;
        },
      ),
    );
    const cancel = (): void => surface.cancel();
    signal.addEventListener("abort", cancel);
    surface.on("metadata", (metadata) => {
      header = headersFromMetadata(metadata);
    });
    // grpc-js calls back first and emits the status right after it: the trailers are known only here.
    surface.on("status", (status) => {
      signal.removeEventListener("abort", cancel);
      try {
        if (failed !== null || answer === undefined) {
          throw signal.aborted ? errorFromAborted(signal) : errorFromCall(failed ?? status, header);
        }
        resolve({
          stream: false,
          method,
          service: request.service,
          header: header ?? new Headers(),
          message: call.codec.decode(answer),
          trailer: headersFromMetadata(status.metadata),
        });
      } catch (error) {
        reject(error);
      }
    });
  });
}

/**
 * Carries out a streaming call of any kind. Resolves when the response headers have arrived, or at the end of a call
 * that has none; rejects with a ConnectError when it fails before that. Messages are pulled: at most grpc-js's own
 * read-ahead of 16 is held. Leaving the response early cancels the call.
 */
export async function callStream(request: StreamRequest, call: GrpcClientCall): Promise<StreamResponse> {
  const { signal, method } = request;
  throwIfAborted(signal);
  const surface = start(() =>
    call.client.makeBidiStreamRequest(call.path, passBytes, passBytes, call.metadata, call.options),
  );
  const trailer = new Headers();
  const outcome: StreamOutcome = { signal, requestFailure: undefined, status: undefined, header: undefined };
  const cancel = (): void => surface.cancel();
  signal.addEventListener("abort", cancel);
  // The status tells the same and more.
  surface.on("error", () => undefined);
  sendRequests(surface, request.message, call.codec, outcome);

  await new Promise<void>((resolve) => {
    surface.on("metadata", (metadata) => {
      outcome.header = headersFromMetadata(metadata);
      resolve();
    });
    surface.on("status", (status) => {
      signal.removeEventListener("abort", cancel);
      outcome.status = status;
      for (const [name, value] of headersFromMetadata(status.metadata)) {
        trailer.append(name, value);
      }
      resolve();
    });
  });
  if (outcome.header === undefined) {
    throwFailure(outcome);
  }
  return {
    stream: true,
    method,
    service: request.service,
    header: outcome.header ?? new Headers(),
    trailer,
    message: readResponses(surface, call.codec, outcome),
  };
}

/** What becomes known of a streaming call as it goes on. */
interface StreamOutcome {
  readonly signal: AbortSignal;
  header: Headers | undefined;
  status: StatusObject | undefined;
  /** Why the caller's own messages could not be sent. Goes before the status, which then is only its consequence. */
  requestFailure: { readonly reason: unknown } | undefined;
}

function sendRequests(
  surface: ClientDuplexStream<Buffer, Buffer>,
  messages: AsyncIterable<Message>,
  codec: ClientCodec,
  outcome: StreamOutcome,
): void {
  const writer = new MessageWriter(surface);
  const iterator = messages[Symbol.asyncIterator]();
  let over = false;
  surface.on("status", () => {
    over = true;
    writer.close();
    abandon(iterator);
  });
  const pump = async (): Promise<void> => {
    try {
      while (!over) {
        const result = await iterator.next();
        if (over) {
          return;
        }
        if (result.done === true) {
          surface.end();
          return;
        }
        const room = writer.write(asBuffer(codec.encode(result.value)));
        if (room !== undefined) {
          await room;
        }
      }
    } catch (reason) {
      if (!over) {
        outcome.requestFailure = { reason };
        surface.cancel();
      }
    }
  };
  void pump();
}

async function* readResponses(
  surface: ClientDuplexStream<Buffer, Buffer>,
  codec: ClientCodec,
  outcome: StreamOutcome,
): AsyncGenerator<Message, void, undefined> {
  try {
    for await (const bytes of readMessages(surface)) {
      yield codec.decode(bytes);
    }
    throwFailure(outcome);
  } finally {
    if (outcome.status === undefined) {
      surface.cancel();
    }
  }
}

function throwFailure(outcome: StreamOutcome): void {
  if (outcome.requestFailure !== undefined) {
    throw outcome.requestFailure.reason;
  }
  if (outcome.status === undefined) {
    throw new ConnectError("the response ended without a status", Code.Internal);
  }
  if (outcome.status.code !== statusCode.OK) {
    const { signal } = outcome;
    throw signal.aborted ? errorFromAborted(signal) : errorFromCall(outcome.status, outcome.header);
  }
}

/** grpc-js throws, rather than fails a call, when the channel is closed. */
function start<Surface>(begin: () => Surface): Surface {
  try {
    return begin();
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new ConnectError(`cannot start the call: ${problem}`, Code.Canceled, undefined, undefined, error);
  }
}

function passBytes(bytes: Buffer): Buffer {
  return bytes;
}
