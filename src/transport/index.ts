// Serving Connect implementations on a grpc-js server.

export { abandon } from "./abandon.ts";
export { isCallHeaders } from "./call-headers.ts";
export { isBareStatus } from "./channel-status.ts";
export { peerName } from "./client-address.ts";

// What every front sets, for implementations and interceptors.
export { flushHeadersKey, type Peer, peerKey } from "./context-keys.ts";
export {
  addConnectService,
  createGrpcHandlers,
  type GrpcHandlerOptions,
  type GrpcHandlers,
} from "./grpc-handlers.ts";
export {
  type AbuseLimits,
  type GrpcListener,
  type GrpcListenOptions,
  listenGrpc,
  type TrustedProxies,
} from "./grpc-listener.ts";
// Calling, over a grpc-js channel or in the same process.
export { createGrpcTransport, type GrpcTransport, type GrpcTransportOptions } from "./grpc-transport.ts";
export { createInProcessTransport, type InProcessTransportOptions } from "./in-process-transport.ts";
export { listenOn } from "./listen-on.ts";
export { passMessages, same } from "./pass-messages.ts";
export { takeProxied } from "./proxied-connections.ts";
export { Proxies } from "./proxies.ts";
export { whenAborted } from "./server-call.ts";
export { admitSecured, type ServerTls, secureContextOptions, tlsOptions } from "./server-tls.ts";
export { type Source, type SourceLimits, Sources } from "./sources.ts";
export { Stalls } from "./stalls.ts";
export { assertTarget, isLoopback, serverOf } from "./target.ts";
export { type TlsOptions, tlsChannel } from "./tls-channel.ts";
export { tellRefusedCalls, tellUnknownCalls } from "./unary-streams.ts";
