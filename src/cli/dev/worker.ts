// The process that serves a project for `retake dev`: another one takes its place after each change.
import { isAbsolute, join } from "node:path";
import { create } from "@bufbuild/protobuf";
import {
  GrpcConfigSchema,
  type ServerConfig,
  ServerConfigSchema,
  WebConfigSchema,
} from "../../../gen/retake/v1/config_pb.js";
import { systemClock } from "../../clock.ts";
import { loadConfig } from "../../config/index.ts";
import type { Logger } from "../../runs/index.ts";
import { createMemoryStorage } from "../../runs/memory/index.ts";
import { createServer, type RetakeServer } from "../../server/index.ts";
import { CliError } from "../cli-error.ts";
import { registerHandlers } from "../handler-modules.ts";
import { openToThisMachine } from "./local-access.ts";
import type { WorkerCommand, WorkerOrder, WorkerReport } from "./worker-messages.ts";

const order = JSON.parse(process.argv[2] ?? "{}") as WorkerOrder;

/** Long enough for a call that is about to end; the others are retaken by the next process. */
const drainTimeoutMs = 2_000;

function tell(report: WorkerReport): void {
  if (process.connected) process.send?.(report);
}

async function configOf(): Promise<ServerConfig> {
  const config = order.configFile === undefined ? create(ServerConfigSchema) : await loadConfig(order.configFile);
  if (order.dataDirectory !== undefined) config.dataDirectory = order.dataDirectory;
  // A project keeps its runs with it, wherever `retake dev` was called.
  const data = config.dataDirectory === "" ? ".retake" : config.dataDirectory;
  config.dataDirectory = isAbsolute(data) ? data : join(order.directory, data);
  if (order.grpcPort !== undefined) {
    config.grpc = Object.assign(config.grpc ?? create(GrpcConfigSchema), portOf(order.grpcPort));
  }
  if (order.webPort !== undefined) {
    config.web = Object.assign(config.web ?? create(WebConfigSchema), portOf(order.webPort));
  }
  const open = openToThisMachine(config);
  if (open !== undefined) {
    const message = `${open.front}.host is ${open.host}, which others can reach: callers need credentials, as with retake serve`;
    log.warn({}, message);
  }
  return config;
}

function portOf(port: number | "off"): { port: number } | { disabled: true } {
  return port === "off" ? { disabled: true } : { port };
}

const log: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (fields, message) => tell({ kind: "log", level: "warn", message, stack: stackIn(fields) }),
  error: (fields, message) => tell({ kind: "log", level: "error", message, stack: stackIn(fields) }),
};

function stackIn(fields: object): string {
  const { err } = fields as { readonly err?: unknown };
  return err instanceof Error ? (err.stack ?? err.message) : "";
}

/** Proves that the handlers fit the contracts, before anything that works is stopped for them. */
async function rehearse(config: ServerConfig): Promise<void> {
  const trial = createServer(
    { ...config, grpc: create(GrpcConfigSchema, { disabled: true }), web: create(WebConfigSchema, { disabled: true }) },
    { log: { ...log, warn: () => undefined }, openStorage: (_, clock) => createMemoryStorage({ clock }) },
  );
  await registerHandlers(trial, [order.handlers]);
  await trial.listen();
  await trial.close({ drainTimeoutMs: 0 });
}

async function serve(config: ServerConfig): Promise<RetakeServer> {
  const server = createServer(config, { clock: systemClock, log, process });
  await registerHandlers(server, [order.handlers]);
  return server;
}

function listen(server: RetakeServer): Promise<void> {
  return server.listen().then(({ grpc, web }) => {
    tell({ kind: "listening", ...(grpc && { grpc }), ...(web && { web }) });
  });
}

function fail(error: unknown): void {
  // What the loader of handlers says around it is for those who typed a flag.
  const origin = error instanceof CliError && error.cause !== undefined ? error.cause : error;
  const { name, message, stack = message } = origin instanceof Error ? origin : new Error(String(origin));
  tell({ kind: "broken", name, message, stack });
  process.exitCode = 1;
  // Node shows where a module has its syntax wrong only on an error that nobody has caught.
  if (origin instanceof SyntaxError) throw origin;
  process.exit();
}

process.chdir(order.directory);
// Signals reach the whole group: the one that started this says when to stop.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
try {
  const config = await configOf();
  await rehearse(config);
  const server = await serve(config);
  const stop = (): void => {
    server.close({ drainTimeoutMs }).then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on("message", (command: WorkerCommand) => {
    if (command.kind === "stop") stop();
    else listen(server).catch(fail);
  });
  // Without the one that started it, nobody could reach or stop it.
  process.on("disconnect", stop);
  tell({ kind: "ready" });
} catch (error) {
  fail(error);
}
