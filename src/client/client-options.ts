import type { Interceptor, Transport } from "@connectrpc/connect";
import type { ChannelOptions } from "@grpc/grpc-js";
import type { Clock, RandomSource } from "../clock.ts";
import type { TlsOptions } from "../transport/index.ts";

/** How to reach a server, by its address or over a transport of your own, and how to treat it. */
export type RetakeClientOptions = RetakeConnectionOptions & (RetakeChannelOptions | RetakeTransportOptions);

/** A gRPC channel of the client's own. */
export interface RetakeChannelOptions {
  /** Where the server is, as grpc-js names it: `host:port`, `dns:///host:port`, `unix:path`. */
  readonly target: string;
  /** `true` trusts the authorities that Node trusts. Default: plain text. */
  readonly tls?: boolean | TlsOptions;
  /**
   * Send `apiKey` over plain text to another machine: only where something else encrypts the way there. Default: false,
   * and such a client is refused. This machine itself is always allowed.
   */
  readonly allowPlaintextApiKey?: boolean;
  /**
   * Options of the grpc-js channel: keep-alive, load balancing, proxies. Ours, where you give none: messages of any size
   * are received, and a lost connection is tried again after 0.2 s, at most every 5 s.
   */
  readonly channelOptions?: ChannelOptions;
  /** Around every call, the first listed outermost. A retried call passes them each time. */
  readonly interceptors?: readonly Interceptor[];
  readonly transport?: never;
}

/** Somebody else's transport, which the client does not close: in the same process, or Connect's over HTTP. */
export interface RetakeTransportOptions {
  readonly transport: Transport;
  readonly target?: never;
}

/** How a server is treated. */
export interface RetakeConnectionOptions {
  /** Sent as `authorization: Bearer …` with each call that has no `authorization` of its own. */
  readonly apiKey?: string;
  /**
   * How long calls are repeated while the server is UNAVAILABLE, in ms: those that change nothing or whose contract says
   * that repeating is harmless, and those with an idempotency key. 0 turns it off. Default: 30 s, enough for a restart.
   */
  readonly retryForMs?: number;
  /** How long `events`, `result` and transfers of artifacts wait for a server that has gone away, in ms. Default: 10 minutes. */
  readonly reconnectForMs?: number;
  /** The deadline of each call of RunService that answers at once, retries included, in ms. Default: 60 s. */
  readonly callTimeoutMs?: number;
  /** Default: the machine's clock. */
  readonly clock?: Clock;
  /** For jitter and keys. Default: the machine's random source. */
  readonly random?: RandomSource;
}
