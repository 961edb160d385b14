import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Server as TlsServer } from "node:tls";
import type { Client, Interceptor } from "@connectrpc/connect";
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from "fastify";
import type { ArtifactService } from "../../gen/retake/v1/artifact_pb.js";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import type { Clock } from "../clock.ts";
import type { ResolvedConfig, ResolvedInput, ResolvedProxies } from "../config/index.ts";
import type { ContractRegistry } from "../contract/index.ts";
import type { RefusedCall } from "../interceptors/rpc/index.ts";
import type { Logger } from "../runs/index.ts";
import {
  admitSecured,
  isLoopback,
  listenOn,
  Proxies,
  type ServerTls,
  Sources,
  Stalls,
  secureContextOptions,
  takeProxied,
  tlsOptions,
} from "../transport/index.ts";
import { Pipelines } from "./pipelines.ts";
import { preambleLogger } from "./preamble-errors.ts";
import type { Route } from "./routes.ts";
import { tlsErrorLogger } from "./tls-errors.ts";
import { artifactsPath, WebArtifacts } from "./web-artifacts.ts";
import { WebCalls } from "./web-calls.ts";
import { frameworkError, OpenResponses, refuseConnection, writeError } from "./web-errors.ts";
import { refuseStrangeHosts } from "./web-hosts.ts";
import { allowOrigins } from "./web-origins.ts";
import { noteForwarded, peerAddress } from "./web-peer.ts";

type ResolvedWeb = NonNullable<ResolvedConfig["web"]>;

/** The web port, listening. */
export interface WebFront {
  readonly host: string;
  readonly port: number;
  /** Serves these routes from the next call on. Calls that are open go on. */
  serve(routes: readonly Route[]): void;
  /** Lets new connections go by these. @throws Error when TLS refuses them */
  renewTls(tls: ServerTls): void;
  /** Takes no more connections, lets answers that are on their way arrive, then cuts what is left. */
  close(): Promise<void>;
}

/** What the probes answer. */
export interface Probes {
  /** Whether the process works at all; if not, restarting it may help. */
  alive(): boolean;
  /** Why the server takes no work at the moment; empty when it does. */
  unready(): string;
}

export interface WebFrontOptions {
  readonly config: ResolvedWeb;
  readonly reading: ResolvedInput;
  readonly tls: ServerTls | undefined;
  /** Absent where nobody's word counts about where calls come from. */
  readonly proxies: ResolvedProxies | undefined;
  /** What callers may do who show no credentials. */
  readonly anonymousLevel: AccessLevel;
  readonly routes: readonly Route[];
  readonly interceptors: readonly Interceptor[];
  /** Told of calls of methods that there are not. */
  readonly onUnknownCall?: ((path: string, header: Headers) => void) | undefined;
  /** Told of calls that are refused before interceptors see them. */
  readonly onRefusedCall?: ((call: RefusedCall) => void) | undefined;
  readonly contracts: Pick<ContractRegistry, "registry">;
  readonly probes: Probes;
  /** What answers `GET /metrics`; absent where nothing does. */
  readonly metrics?: RawService | undefined;
  /** Where `GET /artifacts/{id}` gets them from. */
  readonly artifacts: Client<typeof ArtifactService>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How long connections may take to go once every call has been answered. */
const closeTimeoutMs = 1000;

/** How long a source that went too far gets no new connections. */
const penaltyMs = 10_000;

/** Beyond these Node takes listeners for forgotten ones. */
const mostListeners = 20;

/** @throws Error when the port cannot be bound */
export async function listenWebFront(options: WebFrontOptions): Promise<WebFront> {
  const { config, routes, interceptors, contracts, probes, clock, log } = options;
  const { limits, host } = config;
  const proxies = options.proxies && new Proxies(options.proxies);
  const sources = createSources(limits, clock, proxies);
  const calls = new WebCalls({
    sourceOf: (request) => {
      const peer = peerAddress(request);
      return peer === undefined ? undefined : sources.of(peer.slice(0, peer.lastIndexOf(":")));
    },
    interceptors,
    registry: contracts.registry,
    reading: options.reading,
    maxMessageBytes: limits.maxMessageBytes,
    onUnknownCall: options.onUnknownCall,
    onRefusedCall: options.onRefusedCall,
    log,
  });
  calls.route(routes);
  const responses = new OpenResponses();
  const server = createFastify(config, options.tls, responses);
  let closing = false;
  if (options.tls !== undefined) secured(server).on("tlsClientError", tlsErrorLogger(log, "web.tls"));
  server.server.maxConnections = limits.maxConnections;
  server.server.headersTimeout = limits.requestTimeoutMs;
  limitSources(server.server, sources);
  const stopDropping = dropStalled(server.server, limits, clock);
  refusePipelines(server.server, clock, ({ socket }) => sources.of(socket.remoteAddress).punish());
  server.server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    // Fastify, Node's streams and each part of the way to an answer want to know when it is over: eleven for guarded metrics.
    response.setMaxListeners(mostListeners);
    responses.add(request, response);
    response.once("close", () => {
      if (closing) {
        server.server.closeIdleConnections();
      }
    });
  });
  allowOrigins(server, config.allowedOrigins);
  // With TLS, the certificate is of no name but the server's own.
  if (options.tls === undefined && (isLoopback(bracketed(host)) || options.anonymousLevel > AccessLevel.PUBLIC)) {
    refuseStrangeHosts(server, config);
  }
  readNothing(server);
  addProbes(server, probes);
  if (options.metrics !== undefined) serveRaw(server, "/metrics", options.metrics);
  serveRaw(server, `${artifactsPath}*`, new WebArtifacts({ client: options.artifacts, log }));
  if (proxies !== undefined) server.server.prependListener("request", (request) => noteForwarded(request, proxies));
  const onRefused = preambleLogger(log, "web.proxy_protocol");
  const dropWaiting =
    proxies && config.proxyProtocol ? takeProxied(server.server, { proxies, clock, onRefused }) : undefined;
  // One route for everything that is nothing else, because Fastify takes no more once it listens.
  serveRaw(server, "/*", calls);
  try {
    await server.ready();
    // Fastify's own `listen` would bind "localhost" twice, the second time without these limits.
    await listenOn(server.server, host, config.port);
  } catch (error) {
    stopDropping();
    await server.close();
    throw error;
  }
  const address = server.server.address();
  return {
    host,
    port: typeof address === "object" && address !== null ? address.port : config.port,
    serve: (wanted) => calls.route(wanted),
    renewTls: (tls) => secured(server).setSecureContext(secureContextOptions(tls)),
    close: async () => {
      closing = true;
      dropWaiting?.();
      const timer = clock.setTimeout(() => server.server.closeAllConnections(), closeTimeoutMs);
      await server.close();
      timer.cancel();
      stopDropping();
    },
  };
}

function createFastify({ limits }: ResolvedWeb, tls: ServerTls | undefined, responses: OpenResponses): FastifyInstance {
  const options = {
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepaliveTimeoutMs,
    // Calls that come in while the server stops are told so in the words of their protocol.
    return503OnClosing: false,
    clientErrorHandler: (error: Error & { code?: string }, socket: Parameters<typeof refuseConnection>[1]) =>
      refuseConnection(error, socket, responses.on(socket), limits),
    frameworkErrors: (error: Error & { statusCode?: number }, _: FastifyRequest, reply: FastifyReply) =>
      answerError(error, reply),
  };
  const http = {
    maxHeaderSize: limits.maxHeaderBytes,
    // How often Node looks for requests that take too long: by default, every 30 s.
    connectionsCheckingInterval: Math.min(5000, limits.requestTimeoutMs / 2),
  };
  if (tls === undefined) {
    return fastify({ ...options, http });
  }
  const front = fastify({ ...options, https: { ...http, ...tlsOptions(tls) } }) as unknown as FastifyInstance;
  secured(front).prependListener("secureConnection", admitSecured);
  return front;
}

/** Fastify's types have lost that it is one. */
function secured(front: FastifyInstance): TlsServer {
  return front.server as unknown as TlsServer;
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

function createSources(limits: ResolvedWeb["limits"], clock: Clock, proxies: Proxies | undefined): Sources {
  return new Sources(
    {
      maxConnections: limits.maxConnectionsPerSource,
      maxUnsentBytes: limits.maxUnsentMegabytesPerSource * 1024 * 1024,
      maxUnsentBytesInAll: limits.maxUnsentMegabytes * 1024 * 1024,
      penaltyMs,
    },
    clock,
    proxies,
  );
}

/** Closes the connections that are too many for where they come from. */
function limitSources(server: Server, sources: Sources): void {
  server.prependListener("connection", (socket) => {
    if (sources.admit(socket) === undefined) socket.destroy();
  });
}

/** Closes connections that send request upon request and wait for no answer. */
function refusePipelines(server: Server, clock: Clock, onRefused: (request: IncomingMessage) => void): void {
  const pipelines = new Pipelines(clock);
  const serving = server.listeners("request");
  const admit = (request: IncomingMessage, response: ServerResponse): boolean => {
    // What was in the same piece as the one too many is parsed still.
    if (request.socket.destroyed) return false;
    if (pipelines.admit(request, response)) return true;
    onRefused(request);
    request.socket.destroy();
    return false;
  };
  server.removeAllListeners("request");
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    if (!admit(request, response)) return;
    for (const serve of serving) serve.call(server, request, response);
  });
  // Node answers these by itself, and as many as come, where nobody listens.
  server.on("checkExpectation", (request: IncomingMessage, response: ServerResponse) => {
    if (admit(request, response)) response.writeHead(417).end();
  });
}

/** Closes connections that take nothing of what is written to them, until it is told to stop. */
function dropStalled(server: Server, { stallTimeoutMs }: ResolvedWeb["limits"], clock: Clock): () => void {
  const sockets = new Set<Socket>();
  // What is written goes to the socket of TLS, where there is one.
  server.on(server instanceof TlsServer ? "secureConnection" : "connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  const stalls = new Stalls<Socket>(stallTimeoutMs, clock);
  stalls.start(
    () => sockets,
    ({ writableLength }) => (writableLength > 0 ? { unsentBytes: writableLength, received: 0 } : undefined),
    (socket) => socket.destroy(),
  );
  return () => stalls.stop();
}

function addProbes(server: FastifyInstance, probes: Probes): void {
  server.get("/healthz", (_, reply) => {
    const alive = probes.alive();
    void reply.header("cache-control", "no-store").code(alive ? 200 : 503);
    void reply.send({ status: alive ? "ok" : "failing" });
  });
  server.get("/readyz", (_, reply) => {
    const reason = probes.unready();
    void reply.header("cache-control", "no-store").code(reason === "" ? 200 : 503);
    void reply.send(reason === "" ? { status: "ok" } : { status: "unready", reason });
  });
}

/** Reads no body, and tells errors as everything else here does. */
function readNothing(server: FastifyInstance): void {
  server.removeAllContentTypeParsers();
  server.addContentTypeParser("*", (_request, _payload, done) => done(null));
  server.setErrorHandler((error: Error & { statusCode?: number }, _, reply) => answerError(error, reply));
}

/** Answers requests as Node has them. */
export interface RawService {
  serve(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

/** Hands requests on as Node has them, with the headers that hooks have set. */
function serveRaw(server: FastifyInstance, url: string, service: RawService): void {
  server.all(url, async (request, reply) => {
    reply.hijack();
    const response = reply.raw;
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) {
        response.setHeader(name, value);
      }
    }
    await service.serve(request.raw, response);
  });
}

function answerError(error: Error & { statusCode?: number }, reply: FastifyReply): void {
  reply.hijack();
  writeError(frameworkError(error), reply.raw);
}
