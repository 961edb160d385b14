import type { Http2Server } from "node:http2";
import { createServer, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { type Server, ServerCredentials } from "@grpc/grpc-js";
import type { Clock } from "../clock.ts";
import { noteProxies } from "./forwarded-peer.ts";
import { listenOn } from "./listen-on.ts";
import { interceptLongTimeouts } from "./long-timeouts.ts";
import { takeProxied } from "./proxied-connections.ts";
import type { Proxies } from "./proxies.ts";
import { admitSecured, type ServerTls, secureContextOptions, tlsOptions } from "./server-tls.ts";
import { SessionGuard } from "./session-guard.ts";
import { type SourceLimits, Sources } from "./sources.ts";

/** Where and how a grpc-js server listens. */
export interface GrpcListenOptions {
  /** Address or host name to bind. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** Plain text by default. */
  readonly tls?: ServerTls;
  /** Told of each handshake that fails. */
  readonly onTlsError?: (error: Error, socket: TLSSocket) => void;
  /** Connections above this number are closed at once. Unlimited by default. */
  readonly maxConnections?: number;
  /** What holds against clients that abuse HTTP/2. None by default. */
  readonly abuse?: AbuseLimits;
  /** Whose word counts about where calls come from. Nobody's by default. */
  readonly proxies?: TrustedProxies;
}

export interface TrustedProxies {
  readonly proxies: Proxies;
  /** Where their connections begin with the PROXY protocol: told of those that are closed, and why. */
  readonly preamble?: { readonly clock: Clock; readonly onRefused: (problem: string, address: string) => void };
}

/** What a source may do, and how long one of its calls may get stuck. */
export interface AbuseLimits extends SourceLimits {
  readonly stallTimeoutMs: number;
  readonly clock: Clock;
}

/** A listening port of a grpc-js server. */
export interface GrpcListener {
  readonly host: string;
  /** The port that is bound, also when 0 was asked for. */
  readonly port: number;
  /** The number of open connections. */
  readonly connections: number;
  /** Goes by these from the next connection on; those that are open go on. @throws Error when TLS refuses them */
  renewTls(tls: ServerTls): void;
  /**
   * Stops accepting connections and tells clients to go away; calls under way go on. Resolves when the last connection
   * has closed.
   */
  close(): Promise<void>;
  /** Cuts every connection at once; callers see Unavailable, which they may retry. Resolves when all have closed. */
  destroy(): Promise<void>;
}

/**
 * Listens with a socket of our own and injects its connections into the grpc-js server, because grpc-js can neither
 * limit their number nor tell why a port could not be bound. Rejects, naming address and cause, with the system's
 * `code` (EADDRINUSE, EACCES) kept. While it listens, deadlines above 24.8 days work too.
 */
export async function listenGrpc(server: Server, options: GrpcListenOptions): Promise<GrpcListener> {
  const { host, port, tls, onTlsError, maxConnections, abuse, proxies } = options;
  const sockets = new Set<Socket>();
  // grpc-js would take part in the handshakes, and neither renew certificates nor look at those that are optional.
  const tlsServer = tls && createTlsServer({ ...tlsOptions(tls), noDelay: true, ALPNProtocols: ["h2"] } as object);
  const netServer = tlsServer ?? createServer({ noDelay: true });
  if (maxConnections !== undefined) {
    netServer.maxConnections = maxConnections;
  }
  await listenOn(netServer, host, port);

  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const restoreTimeouts = interceptLongTimeouts();
  // The injector's own server is the newest one; grpc-js gives no other way to it.
  const injected = [...server["http2Servers"].keys()].at(-1) as Http2Server;
  if (proxies !== undefined) noteProxies(injected, proxies.proxies);
  const guarded = abuse && guard(injected, abuse, proxies?.proxies);
  netServer.on("connection", (socket) => {
    if (guarded?.admit(socket) === false) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    // A connection that breaks before or outside of its HTTP/2 session has no one else to tell.
    socket.on("error", () => undefined);
    if (tlsServer === undefined) injector.injectConnection(socket);
  });
  if (onTlsError !== undefined) tlsServer?.on("tlsClientError", onTlsError);
  tlsServer?.on("secureConnection", (socket: TLSSocket) => {
    socket.on("error", () => undefined);
    if (admitSecured(socket)) injector.injectConnection(socket);
  });
  const dropWaiting = proxies?.preamble && takeProxied(netServer, { proxies: proxies.proxies, ...proxies.preamble });

  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= new Promise<void>((resolve) => {
      netServer.close(() => {
        sockets.clear();
        restoreTimeouts();
        guarded?.stop();
        resolve();
      });
      dropWaiting?.();
      injector.destroy();
    });
    return closing;
  };
  const address = netServer.address();
  return {
    host,
    port: typeof address === "object" && address !== null ? address.port : port,
    get connections() {
      return sockets.size;
    },
    renewTls(renewed) {
      tlsServer?.setSecureContext(secureContextOptions(renewed));
    },
    close,
    destroy() {
      const closed = close();
      for (const socket of sockets) {
        socket.destroy();
      }
      return closed;
    },
  };
}

interface Guarded {
  /** False for a connection that its source may not have. */
  admit(socket: Socket): boolean;
  stop(): void;
}

function guard(server: Http2Server, { stallTimeoutMs, clock, ...limits }: AbuseLimits, proxies?: Proxies): Guarded {
  const sources = new Sources(limits, clock, proxies);
  const sessions = new SessionGuard({ stallTimeoutMs, clock });
  sessions.watch(server, ({ socket }) =>
    socket?.remoteAddress === undefined ? undefined : sources.of(socket.remoteAddress),
  );
  return {
    admit: (socket) => sources.admit(socket) !== undefined,
    stop: () => sessions.stop(),
  };
}
