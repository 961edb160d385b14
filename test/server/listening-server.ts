import { once } from "node:events";
import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from "node:http";
import { connect, type Socket } from "node:net";
import { createRegistry, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { onTestFinished } from "vitest";
import type { ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { systemClock } from "../../src/clock.ts";
import type { Logger } from "../../src/runs/index.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { createServer, type RetakeServer, type ServerOptions, type WorkflowImpl } from "../../src/server/index.ts";
import { createGrpcTransport, type GrpcTransport } from "../../src/transport/index.ts";
import { everyoneIsAdmin } from "../everyone-is-admin.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { handlers } from "./handlers.ts";

export interface LogEntry {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A server on real ports and real time, and its clients. */
export interface ListeningServer {
  readonly server: RetakeServer;
  readonly grpcPort: number;
  readonly webPort: number;
  readonly grpc: GrpcTransport;
  /** By protocol; the names say what is asked for. */
  readonly web: Readonly<Record<"connect with JSON" | "connect with protobuf" | "gRPC-Web", Transport>>;
  readonly runs: Client<typeof RunService>;
  readonly workflows: Client<typeof WorkflowsService>;
  readonly log: readonly LogEntry[];
}

export type ListeningOptions = {
  readonly config?: MessageInitShape<typeof ServerConfigSchema>;
  /** Whether there are handlers, or only back-ends. Default: true. */
  readonly implemented?: boolean;
} & Omit<ServerOptions, "log">;

/** Everything that is logged, kept. */
export function recordingLogger(): Logger & { readonly entries: LogEntry[] } {
  const entries: LogEntry[] = [];
  const at = (level: LogEntry["level"]) => (fields: object, message: string) => {
    entries.push({ level, message, fields: fields as Record<string, unknown> });
  };
  return { entries, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** Starts a server that keeps its runs in memory; it is closed when the test has finished. */
export async function startListening(
  own: WorkflowImpl<typeof WorkflowsService> = {},
  { config = {}, implemented = true, ...options }: ListeningOptions = {},
): Promise<ListeningServer> {
  const log = recordingLogger();
  const server = createServer(
    {
      ...config,
      security: { ...everyoneIsAdmin, ...config.security },
      grpc: { port: 0, ...config.grpc },
      web: { port: 0, ...config.web },
    } as typeof config,
    { openStorage: (_, clock) => createMemoryStorage({ clock }), log, clock: systemClock, ...options },
  );
  if (implemented) server.implement(WorkflowsService, handlers(own));
  else server.serve(WorkflowsService);
  await server.listen();
  const grpcPort = server.grpc?.port ?? 0;
  const webPort = server.web?.port ?? 0;
  const grpc = createGrpcTransport({ target: `127.0.0.1:${grpcPort}` });
  onTestFinished(async () => {
    grpc.close();
    await server.close({ drainTimeoutMs: 0 });
  });
  const baseUrl = `http://127.0.0.1:${webPort}`;
  const registry = createRegistry(WorkflowsService.file, RunService.file);
  return {
    server,
    grpcPort,
    webPort,
    grpc,
    web: {
      "connect with JSON": createConnectTransport({
        baseUrl,
        httpVersion: "1.1",
        useBinaryFormat: false,
        jsonOptions: { registry },
      }),
      "connect with protobuf": createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: true }),
      "gRPC-Web": createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
    },
    runs: createClient(RunService, grpc),
    workflows: createClient(WorkflowsService, grpc),
    log: log.entries,
  };
}

export interface WebAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The body as JSON. */
  readonly json: Record<string, unknown>;
}

export interface WebRequest {
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string | Uint8Array;
}

/** One HTTP request, as curl would send it, on a connection of its own. */
export async function fetchWeb(
  port: number,
  path: string,
  { method = "POST", headers = { "content-type": "application/json" }, body = "" }: WebRequest = {},
): Promise<WebAnswer> {
  const sent = request({ host: "127.0.0.1", port, path, method, headers, agent: false });
  sent.end(body);
  const [response] = await once(sent, "response");
  const received = Buffer.concat(await response.toArray());
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: received,
    get json() {
      return JSON.parse(received.toString()) as Record<string, unknown>;
    },
  };
}

/** A bare TCP connection, destroyed when the test has finished. */
export async function openSocket(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  onTestFinished(() => void socket.destroy());
  await once(socket, "connect");
  return socket;
}

/** Everything that a connection sends until it is closed. */
export async function readToEnd(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  if (!socket.closed) {
    await once(socket, "close");
  }
  return Buffer.concat(chunks).toString("latin1");
}

/** All ways into a server, by their names. */
export function everyTransport({ grpc, web }: ListeningServer): [name: string, transport: Transport][] {
  return [["gRPC", grpc], ...Object.entries(web)];
}

/** The HTTP head of a call with JSON, for those who write it to a bare connection. */
export function jsonCall(path: string, body: string, headers: Readonly<Record<string, string>> = {}): string {
  const lines = Object.entries({
    host: "localhost",
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(body)),
    ...headers,
  });
  return `POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${body}`;
}
