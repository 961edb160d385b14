import { create } from "@bufbuild/protobuf";
import { GrpcConfigSchema, type ServerConfig, WebConfigSchema } from "../../../gen/retake/v1/config_pb.js";
import { ConfigError } from "../../config/index.ts";
import { ContractError } from "../../contract/index.ts";
import { createServer, type RetakeServer, type ServerAddress } from "../../server/index.ts";
import type { Arguments } from "../arguments.ts";
import { CliError, UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { defaultConfig, readConfig } from "../data-directory.ts";
import { ExitCode } from "../exit-code.ts";
import { registerHandlers } from "../handler-modules.ts";
import { type CliIo, writeLines } from "../io.ts";
import { parsePortFlag } from "../port-flag.ts";

export const serve: Command = {
  description: [
    "Serves workflows until it is told to stop (Ctrl-C, SIGTERM): then it takes no new runs, gives running attempts the",
    "configured time (drain_timeout), and hands the rest back for the next start. A second signal stops it at once; runs",
    "are not lost by that either. Logs are JSON lines on standard output.",
  ].join(" "),
  local: true,
  positionals: [],
  flags: {
    config: {
      short: "c",
      value: "FILE",
      description: `The configuration. Default: ${defaultConfig}, where there is one`,
    },
    data: { short: "d", value: "DIR", description: "Where runs are kept, instead of data_directory" },
    "grpc-port": { value: "PORT", description: "Instead of grpc.port; 0 takes a free one, off opens none" },
    "web-port": { value: "PORT", description: "Instead of web.port; 0 takes a free one, off opens none" },
    handlers: {
      value: "MODULE",
      multiple: true,
      description: "A JavaScript or TypeScript module whose default export, register(server), implements workflows",
    },
  },
  examples: [
    ["retake serve --handlers ./handlers.ts", "Serve the workflows that a module implements"],
    ["retake serve --config /etc/retake.yaml --data /var/lib/retake", "Serve what the configuration says"],
  ],
  async run(given, io) {
    const config = await configOf(given);
    const server = await open(config, given.values("handlers"));
    tellAddresses(server, given.has("json"), io);
    try {
      await aborted(io.signal);
      writeLines(io.stderr, "Stopping: running attempts get the time to end; once more stops at once.");
    } finally {
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
  if (config.grpc?.disabled === true && config.web?.disabled === true) {
    throw new UsageError("both ports are off, so nobody could call this server: leave one on");
  }
  return config;
}

function parsePort(flag: string, text: string | undefined): { port: number } | { disabled: true } | undefined {
  const port = parsePortFlag(flag, text);
  if (port === undefined) return undefined;
  return port === "off" ? { disabled: true } : { port };
}

async function open(config: ServerConfig, modules: readonly string[]): Promise<RetakeServer> {
  try {
    const server = createServer(config);
    await registerHandlers(server, modules);
    return await server.listen();
  } catch (error) {
    throw told(error);
  }
}

/** What an operator can mend is told without a stack. */
function told(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof CliError) return error;
  if (error instanceof ConfigError || error instanceof ContractError) {
    return new UsageError(error.message, { cause: error });
  }
  const operational = error instanceof TypeError || error.name === "JournalOpenError" || "code" in error;
  return operational ? new CliError(error.message, ExitCode.refused, { cause: error }) : error;
}

function tellAddresses({ grpc, web }: RetakeServer, json: boolean, io: CliIo): void {
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
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
