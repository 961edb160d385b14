import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import {
  BackendConfigSchema,
  GrpcConfigSchema,
  LogConfigSchema,
  type ServerConfig,
  WebConfigSchema,
} from "../../../gen/retake/v1/config_pb.js";
import { WorkflowPolicySchema } from "../../../gen/retake/v1/options_pb.js";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import { ReflectionError } from "../../backends/index.ts";
import { ConfigError } from "../../config/index.ts";
import { ContractError } from "../../contract/index.ts";
import {
  createServer,
  type FirstAdminKey,
  type RetakeServer,
  type ServerAddress,
  type ServerOptions,
} from "../../server/index.ts";
import type { Arguments } from "../arguments.ts";
import { CliError, UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { writeCompiledCode } from "../compile-cache.ts";
import { readConfig } from "../config-file.ts";
import { configFlag } from "../config-flag.ts";
import { ExitCode } from "../exit-code.ts";
import { registerHandlers } from "../handler-modules.ts";
import { type CliIo, writeLines } from "../io.ts";
import { parsePortFlag } from "../port-flag.ts";

/** Workflows that are named at the start. */
const mostWorkflows = 20;

export const serve: Command = {
  description: [
    "Serves workflows until it is told to stop (Ctrl-C, SIGTERM): then it takes no new runs, gives running attempts the",
    "configured time (drain_timeout), and hands the rest back for the next start. A second signal stops it at once; runs",
    "are not lost by that either. On SIGHUP it reads contracts, workflows, back-ends, drills and certificates anew. Logs",
    "go to standard output: JSON lines, or lines for people where that is a terminal.",
  ].join(" "),
  local: true,
  positionals: [],
  flags: {
    config: configFlag,
    data: { short: "d", value: "DIR", description: "Where runs are kept, instead of data_directory" },
    "grpc-port": { value: "PORT", description: "Instead of grpc.port; 0 takes a free one, off opens none" },
    "web-port": { value: "PORT", description: "Instead of web.port; 0 takes a free one, off opens none" },
    backend: {
      short: "b",
      value: "TARGET",
      multiple: true,
      description:
        "A gRPC server that carries out workflows, as dns:///host:port; its contracts are taken by its reflection",
    },
    contracts: {
      value: "FILE",
      multiple: true,
      description: "A descriptor set with contracts, made with buf build -o FILE, besides those of the configuration",
    },
    workflow: {
      value: "NAME",
      multiple: true,
      description: "Make a workflow of a method that carries no option: package.Service/Method",
    },
    handlers: {
      value: "MODULE",
      multiple: true,
      description: "A JavaScript or TypeScript module whose default export, register(server), implements workflows",
    },
    "log-format": {
      value: "json|pretty",
      description: "Instead of log.format. Default: pretty on a terminal, else json; with --json, json",
    },
    "new-admin-key": {
      description: "Make an admin key, as the first start does: for when those that there are have been lost",
    },
    "allow-crash-faults": {
      description: "Let drills (faults) end this process, as if it were killed; what restarts it is up to you",
    },
  },
  examples: [
    ["retake serve --handlers ./handlers.ts", "Serve the workflows that a module implements"],
    [
      "retake serve --backend dns:///localhost:50061 --workflow greet.v1.Greeter/Hello",
      "Put a gRPC server in any language behind durable runs, without code",
    ],
    ["retake serve --config /etc/retake.yaml --data /var/lib/retake", "Serve what the configuration says"],
  ],
  async run(given, io) {
    const config = await configOf(given).catch((error: unknown) => {
      throw told(error);
    });
    const server = await createWith(config, given.values("handlers"), {
      newAdminKey: given.has("new-admin-key"),
      ...(io.process && { process: io.process }),
      ...(given.has("allow-crash-faults") && { crash: kill }),
      // Whoever wants JSON collects what is printed, and a key must not lie about there: the log tells where it is.
      ...(!given.has("json") && { onAdminKey: (made) => tellAdminKey(made, io) }),
    });
    // The server's log tells what comes of it.
    const offHangup = io.onHangup?.(() => void server.reload(() => configOf(given)).catch(() => undefined));
    try {
      await listen(server, io.signal);
      writeCompiledCode();
      await tell(server, given.has("json"), io);
      await aborted(io.signal);
      writeLines(io.stderr, "Stopping: running attempts get the time to end; once more stops at once.");
    } finally {
      offHangup?.();
      await server.close();
    }
    return ExitCode.ok;
  },
};

async function configOf(given: Arguments): Promise<ServerConfig> {
  const config = await readConfig(given.value("config"));
  const data = given.value("data");
  if (data !== undefined) config.dataDirectory = data;
  const grpcPort = parsePort("--grpc-port", given.value("grpc-port"));
  if (grpcPort !== undefined) config.grpc = Object.assign(config.grpc ?? create(GrpcConfigSchema), grpcPort);
  const webPort = parsePort("--web-port", given.value("web-port"));
  if (webPort !== undefined) config.web = Object.assign(config.web ?? create(WebConfigSchema), webPort);
  const logFormat = parseLogFormat(given.value("log-format")) ?? (given.has("json") ? "json" : undefined);
  if (logFormat !== undefined) config.log = Object.assign(config.log ?? create(LogConfigSchema), { format: logFormat });
  config.contracts.push(...given.values("contracts").filter((file) => !config.contracts.includes(file)));
  for (const target of given.values("backend")) {
    config.backends.push(create(BackendConfigSchema, { endpoints: [{ target: asTarget(target) }] }));
  }
  for (const name of given.values("workflow")) {
    config.workflows[name] ??= create(WorkflowPolicySchema);
  }
  if (config.grpc?.disabled === true && config.web?.disabled === true) {
    throw new UsageError("both ports are off, so nobody could call this server: leave one on");
  }
  return config;
}

function parseLogFormat(text: string | undefined): string | undefined {
  if (text === undefined || text === "json" || text === "pretty") return text;
  throw new UsageError(`--log-format is json or pretty, and not ${JSON.stringify(text)}`);
}

function parsePort(flag: string, text: string | undefined): { port: number } | { disabled: true } | undefined {
  const port = parsePortFlag(flag, text);
  if (port === undefined) return undefined;
  return port === "off" ? { disabled: true } : { port };
}

/** What people copy from elsewhere. */
function asTarget(given: string): string {
  const plain = /^http:\/\/([^/]+)\/?$/i.exec(given)?.[1] ?? given;
  return /^[^:/]+:\d+$/.test(plain) ? `dns:///${plain}` : plain;
}

/** No handler runs and nothing is written any more: what a crash is. */
function kill(): void {
  process.kill(process.pid, "SIGKILL");
}

async function createWith(
  config: ServerConfig,
  modules: readonly string[],
  options: ServerOptions,
): Promise<RetakeServer> {
  try {
    const server = createServer(config, options);
    await registerHandlers(server, modules);
    return server;
  } catch (error) {
    throw told(error);
  }
}

function tellAdminKey({ key, path }: FirstAdminKey, io: CliIo): void {
  writeLines(
    io.stderr,
    `Admin key  ${key}`,
    `           It is shown this once. The command line of this machine finds a copy in ${path}.`,
    "           Make keys for others with: retake keys create SUBJECT",
  );
}

async function listen(server: RetakeServer, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const stop = (): void => void server.close();
  signal.addEventListener("abort", stop, { once: true });
  try {
    await server.listen();
  } catch (error) {
    throw signal.aborted ? error : told(error);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** What an operator can mend is told without a stack. */
function told(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof CliError) return error;
  if (error instanceof ConfigError || error instanceof ContractError) {
    return new UsageError(error.message, { cause: error });
  }
  if (error instanceof ReflectionError) {
    const exitCode = error.unreachable ? ExitCode.unreachable : ExitCode.refused;
    return new CliError(error.message, exitCode, { cause: error });
  }
  const operational =
    error instanceof TypeError || error.name === "JournalOpenError" || error.name === "KeyFileError" || "code" in error;
  return operational ? new CliError(error.message, ExitCode.refused, { cause: error }) : error;
}

async function tell({ grpc, web, transport }: RetakeServer, json: boolean, io: CliIo): Promise<void> {
  if (json) {
    writeLines(io.stdout, JSON.stringify({ ...(grpc && { grpc }), ...(web && { web }) }));
    return;
  }
  const address = ({ host, port }: ServerAddress): string => `${host.includes(":") ? `[${host}]` : host}:${port}`;
  writeLines(
    io.stderr,
    ...(grpc === undefined ? [] : [`gRPC  ${address(grpc)}`]),
    ...(web === undefined ? [] : [`web   http://${address(web)}`]),
  );
  const { workflows, nextPageToken } = await createClient(RunService, transport).listWorkflows({
    pageSize: mostWorkflows,
  });
  for (const { workflow } of workflows) writeLines(io.stderr, `      ${workflow}`);
  if (nextPageToken !== "") writeLines(io.stderr, "      and more: retake workflows");
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
