import type { DescMessage, DescMethod } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type Interceptor,
  type StreamRequest,
  type StreamResponse,
  type Transport,
  type UnaryRequest,
  type UnaryResponse,
} from "@connectrpc/connect";
import {
  type CallCredentials,
  type CallOptions,
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  type connectivityState,
  credentials as grpcCredentials,
  type Metadata,
} from "@grpc/grpc-js";
import { type Clock, systemClock } from "../clock.ts";
import { type ClientSettings, runStream, runUnary } from "./client-call.ts";
import { type ClientCodec, callStream, callUnary, createClientCodec, type GrpcClientCall } from "./grpc-client-call.ts";
import type { BinaryOptions } from "./message-codec.ts";
import { metadataFromHeaders } from "./metadata.ts";
import { methodName } from "./method.ts";

/** How to reach a server, and how to call it. */
export interface GrpcTransportOptions {
  /**
   * Where the server is, as grpc-js names it: `host:port`, `dns:///host:port`, `unix:path`; or a grpc-js client whose
   * channel is to be used, which stays the caller's to configure.
   */
  readonly target: string | Client;
  /** Plain text by default. Not used with a client as target. */
  readonly credentials?: ChannelCredentials;
  /**
   * Options of the channel: keep-alive, service config (retries, load balancing), message sizes, compression. Not used
   * with a client as target. `"grpc.enable_channelz": 0` makes calls some 15 % cheaper.
   */
  readonly channelOptions?: ChannelOptions;
  /** Credentials for each call, for a channel that has none of its own. */
  readonly callCredentials?: CallCredentials;
  /** Waits for a connection, up to the call's deadline, instead of failing when there is none. False by default. */
  readonly waitForReady?: boolean;
  /** Around every call, the first listed outermost. */
  readonly interceptors?: readonly Interceptor[];
  /** Used where a call gives no timeout of its own. None by default. */
  readonly defaultTimeoutMs?: number;
  /** Options of protobuf-es for writing requests and reading responses. */
  readonly binaryOptions?: BinaryOptions;
  /** The machine's clock by default. */
  readonly clock?: Clock;
}

/** A Connect transport over a grpc-js channel. */
export interface GrpcTransport extends Transport {
  /** The client beneath, for what grpc-js can do and Connect has no word for. */
  readonly client: Client;
  /** State of the channel; with `tryToConnect`, an idle one starts to connect. */
  connectivityState(tryToConnect?: boolean): connectivityState;
  /** Resolves when the channel is connected; rejects with DeadlineExceeded when it is not within the time. */
  waitUntilReady(timeoutMs: number): Promise<void>;
  /** Closes the channel. Calls under way go on; later ones fail with Canceled. */
  close(): void;
}

/**
 * Offers a grpc-js channel as a Connect transport for all four kinds of method. Calls share the channel. Aborting the
 * call's signal cancels it; errors are ConnectErrors with details, and metadata of headers and trailers together.
 */
export function createGrpcTransport(options: GrpcTransportOptions): GrpcTransport {
  const { target, clock = systemClock, callCredentials, waitForReady = false } = options;
  const client =
    typeof target === "string"
      ? new Client(target, options.credentials ?? grpcCredentials.createInsecure(), options.channelOptions ?? {})
      : target;
  const baseUrl = `http://${authority(client.getChannel().getTarget())}`;
  const settings: ClientSettings = {
    clock,
    interceptors: options.interceptors ?? [],
    defaultTimeoutMs: options.defaultTimeoutMs,
    url: (method) => `${baseUrl}/${methodName(method)}`,
  };

  const codecs = new WeakMap<DescMethod, ClientCodec>();
  const callOf = (request: UnaryRequest | StreamRequest, timeLeftMs: () => number | undefined): GrpcClientCall => {
    const { method } = request;
    let codec = codecs.get(method);
    if (codec === undefined) {
      codec = createClientCodec(method, options.binaryOptions);
      codecs.set(method, codec);
    }
    return {
      client,
      codec,
      path: `/${methodName(method)}`,
      metadata: requestMetadata(request.header, waitForReady),
      options: callOptions(timeLeftMs(), callCredentials),
    };
  };

  return {
    client,
    unary<I extends DescMessage, O extends DescMessage>(...args: Parameters<Transport["unary"]>) {
      const [method, signal, timeoutMs, header, input, contextValues] = args;
      return runUnary(settings, {
        method,
        signal,
        timeoutMs,
        header,
        input,
        contextValues,
        send: async (request, timeLeftMs) => await callUnary(request, callOf(request, timeLeftMs)),
      }) as Promise<UnaryResponse<I, O>>;
    },
    stream<I extends DescMessage, O extends DescMessage>(...args: Parameters<Transport["stream"]>) {
      const [method, signal, timeoutMs, header, input, contextValues] = args;
      return runStream(settings, {
        method,
        signal,
        timeoutMs,
        header,
        input,
        contextValues,
        send: async (request, timeLeftMs) => await callStream(request, callOf(request, timeLeftMs)),
      }) as Promise<StreamResponse<I, O>>;
    },
    connectivityState: (tryToConnect = false) => client.getChannel().getConnectivityState(tryToConnect),
    waitUntilReady: (timeoutMs) => waitUntilReady(client, timeoutMs),
    close: () => client.close(),
  };
}

function requestMetadata(header: Headers, waitForReady: boolean): Metadata {
  const metadata = metadataFromHeaders(header, Code.InvalidArgument);
  metadata.setOptions({ waitForReady });
  return metadata;
}

/** The protocol has eight digits for a timeout, hours at most. */
const longestTimeoutMs = 99_999_999 * 3_600_000;

function callOptions(timeLeftMs: number | undefined, credentials: CallCredentials | undefined): CallOptions {
  const options: CallOptions = credentials === undefined ? {} : { credentials };
  if (timeLeftMs !== undefined && timeLeftMs <= longestTimeoutMs) {
    // The machine's clock, whatever the rest of the program runs on: grpc-js reckons deadlines by it.
    options.deadline = systemClock.now() + timeLeftMs;
  }
  return options;
}

function waitUntilReady(client: Client, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    client.waitForReady(systemClock.now() + timeoutMs, (error) => {
      if (error === undefined) {
        resolve();
      } else {
        const target = client.getChannel().getTarget();
        const message = `${target} did not become ready within ${timeoutMs} ms: ${error.message}`;
        reject(new ConnectError(message, Code.DeadlineExceeded, undefined, undefined, error));
      }
    });
  });
}

/** The part of a grpc-js target that names a server: without the resolver, its authority, and the address family. */
function authority(target: string): string {
  return target.replace(/^(?:dns|ipv4|ipv6|unix|unix-abstract|xds):(?:\/\/[^/]*\/)?/, "");
}
