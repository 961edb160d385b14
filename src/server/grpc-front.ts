import type { IncomingHttpHeaders } from "node:http2";
import type { Interceptor } from "@connectrpc/connect";
import { type ChannelOptions, Server } from "@grpc/grpc-js";
import type { Clock } from "../clock.ts";
import type { ResolvedConfig, ResolvedInput, ResolvedProxies } from "../config/index.ts";
import type { RefusedCall } from "../interceptors/rpc/index.ts";
import type { Logger } from "../runs/index.ts";
import {
  addConnectService,
  type GrpcListener,
  listenGrpc,
  Proxies,
  type ServerTls,
  tellRefusedCalls,
  tellUnknownCalls,
} from "../transport/index.ts";
import { readingOf } from "./own-requests.ts";
import { preambleLogger } from "./preamble-errors.ts";
import type { Route } from "./routes.ts";
import { tlsErrorLogger } from "./tls-errors.ts";

type ResolvedGrpc = NonNullable<ResolvedConfig["grpc"]>;

/** The gRPC port, listening. */
export interface GrpcFront {
  readonly host: string;
  readonly port: number;
  /** Serves these routes from the next call on. Calls that are open go on. */
  serve(routes: readonly Route[]): void;
  /** Lets new connections go by these. @throws Error when TLS refuses them */
  renewTls(tls: ServerTls): void;
  /** Takes no more connections, lets answers that are on their way arrive, then cuts what is left. */
  close(): Promise<void>;
}

/** How long connections may take to go once every call has been answered. */
const closeTimeoutMs = 1000;

/** Above this (24.8 days) a timer of Node is due at once. */
const longestTimerMs = 2 ** 31 - 1;

export interface GrpcFrontOptions {
  readonly config: ResolvedGrpc;
  readonly tls: ServerTls | undefined;
  /** Absent where nobody's word counts about where calls come from. */
  readonly proxies: ResolvedProxies | undefined;
  readonly reading: ResolvedInput;
  readonly routes: readonly Route[];
  readonly interceptors: readonly Interceptor[];
  /** Told of calls of methods that there are not. */
  readonly onUnknownCall?: (path: string, header: Headers) => void;
  /** Told of calls that are refused before interceptors see them. */
  readonly onRefusedCall?: (call: RefusedCall) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** @throws Error when the port cannot be bound */
export async function listenGrpcFront(options: GrpcFrontOptions): Promise<GrpcFront> {
  const { config, reading, routes, interceptors, clock } = options;
  const { limits } = config;
  const server = new Server(channelOptions(limits));
  const { onUnknownCall, onRefusedCall } = options;
  const headerOf = ({ traceparent }: IncomingHttpHeaders): Headers =>
    new Headers(typeof traceparent === "string" ? { traceparent } : {});
  if (onUnknownCall !== undefined) {
    tellUnknownCalls(server, (path, headers) => onUnknownCall(path, headerOf(headers)));
  }
  if (onRefusedCall !== undefined) {
    tellRefusedCalls(server, (path, headers, code, message) => {
      onRefusedCall({ path, code: Number(code), message, header: headerOf(headers) });
    });
  }
  const withdrawals = new Map<Route, () => void>();
  const serve = (wanted: readonly Route[]): void => {
    for (const [route, withdraw] of withdrawals) {
      if (!wanted.includes(route)) {
        withdraw();
        withdrawals.delete(route);
      }
    }
    for (const route of wanted) {
      if (!withdrawals.has(route)) {
        const withdraw = addConnectService(server, route.service, route.implementation, {
          interceptors,
          readMaxBytes: limits.maxMessageBytes,
          metadataMaxBytes: limits.maxMetadataBytes,
          binaryOptions: readingOf(route.service, reading).binary,
        });
        withdrawals.set(route, withdraw);
      }
    }
  };
  serve(routes);
  const listener = await listenGrpc(server, {
    host: config.host,
    port: config.port,
    ...(options.tls && { tls: options.tls, onTlsError: tlsErrorLogger(options.log, "grpc.tls") }),
    ...(options.proxies && {
      proxies: {
        proxies: new Proxies(options.proxies),
        ...(config.proxyProtocol && {
          preamble: { clock, onRefused: preambleLogger(options.log, "grpc.proxy_protocol") },
        }),
      },
    }),
    maxConnections: limits.maxConnections,
    abuse: {
      maxConnections: limits.maxConnectionsPerSource,
      resetsPerSecond: limits.maxResetsPerSecond,
      controlFramesPerSecond: limits.maxControlFramesPerSecond,
      maxUnsentBytes: limits.maxUnsentMegabytesPerSource * 1024 * 1024,
      maxUnsentBytesInAll: limits.maxUnsentMegabytes * 1024 * 1024,
      penaltyMs: limits.abusePenaltyMs,
      stallTimeoutMs: limits.stallTimeoutMs,
      clock,
    },
  });
  return {
    host: listener.host,
    port: listener.port,
    serve,
    renewTls: (tls) => listener.renewTls(tls),
    close: () => closeFront(server, listener, clock),
  };
}

function channelOptions(limits: ResolvedGrpc["limits"]): ChannelOptions {
  return {
    // Its bookkeeping costs some 15 % of throughput, and nothing here reads it.
    "grpc.enable_channelz": 0,
    "grpc.max_concurrent_streams": limits.maxStreamsPerConnection,
    "grpc.max_receive_message_length": limits.maxMessageBytes,
    "grpc.max_send_message_length": -1,
    "grpc-node.max_session_memory": limits.maxSessionMemoryMegabytes,
    // Up to a tenth is added at random. A grace would cut long calls: they go on for as long as they need.
    "grpc.max_connection_age_ms": Math.min(limits.maxConnectionAgeMs, longestTimerMs / 1.1),
    "grpc.max_connection_idle_ms": Math.min(limits.maxConnectionIdleMs, longestTimerMs),
    "grpc.keepalive_time_ms": limits.keepaliveTimeMs,
    "grpc.keepalive_timeout_ms": limits.keepaliveTimeoutMs,
  };
}

async function closeFront(server: Server, listener: GrpcListener, clock: Clock): Promise<void> {
  const answered = new Promise<void>((resolve) => {
    const timer = clock.setTimeout(resolve, closeTimeoutMs);
    void listener.close().then(() => {
      timer.cancel();
      resolve();
    });
  });
  await answered;
  await listener.destroy();
  server.forceShutdown();
}
