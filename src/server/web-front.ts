import type { TLSSocket } from "node:tls";
import { type ContextValues, cors as connectCors, createContextValues, type Interceptor } from "@connectrpc/connect";
import { fastifyConnectPlugin } from "@connectrpc/connect-fastify";
import { type FastifyInstance, type FastifyRequest, fastify } from "fastify";
import type { ResolvedConfig } from "../config/index.ts";
import { type Peer, peerKey } from "../transport/index.ts";
import type { Route } from "./routes.ts";
import { readTls } from "./tls.ts";

type ResolvedWeb = NonNullable<ResolvedConfig["web"]>;

/** The web port, listening. */
export interface WebFront {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

/** What the probes answer. */
export interface Probes {
  /** Whether the process works at all. */
  alive(): boolean;
  /** Why the server takes no work at the moment; empty when it does. */
  unready(): string;
}

/** @throws ConfigError for TLS files that cannot be read, Error when the port cannot be bound */
export async function listenWebFront(
  config: ResolvedWeb,
  routes: readonly Route[],
  interceptors: readonly Interceptor[],
  probes: Probes,
): Promise<WebFront> {
  const { limits, host } = config;
  const server = createFastify(config);
  server.server.maxConnections = limits.maxConnections;
  server.server.headersTimeout = limits.requestTimeoutMs;
  allowOrigins(server, config.allowedOrigins);

  server.get("/healthz", (_, reply) => {
    const alive = probes.alive();
    void reply.code(alive ? 200 : 503).send({ status: alive ? "ok" : "failing" });
  });
  server.get("/readyz", (_, reply) => {
    const reason = probes.unready();
    void reply.code(reason === "" ? 200 : 503).send(reason === "" ? { status: "ok" } : { status: "unready", reason });
  });
  await server.register(fastifyConnectPlugin, {
    routes: (router) => {
      for (const { service, implementation, grpcOnly } of routes) {
        if (grpcOnly !== true) {
          router.service(service, implementation);
        }
      }
    },
    interceptors: [...interceptors],
    readMaxBytes: limits.maxMessageBytes,
    contextValues: peerOf,
    // gRPC itself has a port of its own, which is several times faster.
    grpc: false,
  });
  try {
    await server.listen({ host, port: config.port });
  } catch (error) {
    await server.close();
    throw listenError(error, host, config.port);
  }
  const address = server.server.address();
  return {
    host,
    port: typeof address === "object" && address !== null ? address.port : config.port,
    close: async () => {
      const closed = server.close();
      server.server.closeAllConnections();
      await closed;
    },
  };
}

function createFastify(config: ResolvedWeb): FastifyInstance {
  const { limits } = config;
  const options = {
    // What a call may carry is limited by the routes, message by message.
    bodyLimit: limits.maxMessageBytes,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepaliveTimeoutMs,
    forceCloseConnections: true,
  };
  if (config.tls === undefined) {
    return fastify({ ...options, http: { maxHeaderSize: limits.maxHeaderBytes } });
  }
  const { certificate, key, clientCa } = readTls(config.tls, "web.tls");
  return fastify({
    ...options,
    https: {
      cert: certificate,
      key,
      maxHeaderSize: limits.maxHeaderBytes,
      ...(clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }),
    },
  }) as unknown as FastifyInstance;
}

/** Web pages of other origins may call only where the configuration says so. */
function allowOrigins(server: FastifyInstance, origins: readonly string[]): void {
  if (origins.length === 0) {
    return;
  }
  const allowed = new Set(origins);
  server.addHook("onRequest", async (request, reply) => {
    const { origin } = request.headers;
    if (origin === undefined || !allowed.has(origin)) {
      return;
    }
    void reply.header("access-control-allow-origin", origin).header("vary", "Origin");
    void reply.header("access-control-expose-headers", [...connectCors.exposedHeaders, "retake-run-id"].join(", "));
    if (request.method === "OPTIONS") {
      await reply
        .header("access-control-allow-methods", connectCors.allowedMethods.join(", "))
        .header(
          "access-control-allow-headers",
          [
            ...connectCors.allowedHeaders,
            "authorization",
            "x-api-key",
            "idempotency-key",
            "retake-detach",
            "traceparent",
          ].join(", "),
        )
        .header("access-control-max-age", "7200")
        .code(204)
        .send();
    }
  });
}

function peerOf(request: FastifyRequest): ContextValues {
  const values = createContextValues();
  const { socket } = request.raw;
  const peer: Peer = {
    address: socket.remoteAddress === undefined ? "unknown" : `${socket.remoteAddress}:${socket.remotePort}`,
    certificate: "authorized" in socket && socket.authorized ? (socket as TLSSocket).getPeerCertificate() : undefined,
  };
  return values.set(peerKey, peer);
}

function listenError(error: unknown, host: string, port: number): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "EADDRINUSE"
    ? Object.assign(
        new Error(
          `cannot listen on ${host}:${port}: the port is in use: stop what listens there, or choose another port`,
          {
            cause: error,
          },
        ),
        { code },
      )
    : error;
}
