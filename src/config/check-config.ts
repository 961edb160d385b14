import { isIP } from "node:net";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import { type ServerConfig, ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import type { ConfigProblem } from "./config-error.ts";
import { inProcessTarget, type ResolvedConfig, withDefaults } from "./settings.ts";

const validator = createValidator();

/** What breaks the rules of config.proto; if nothing does, what makes no sense together. */
export function configProblems(config: ServerConfig): ConfigProblem[] {
  const checked = validator.validate(ServerConfigSchema, config);
  if (checked.kind === "error") throw checked.error;
  if (checked.kind === "invalid") {
    return checked.violations.map(({ field, message, forKey }) => ({
      field: pathToString(field),
      message: forKey ? `the key ${message}` : message,
    }));
  }
  const resolved = withDefaults(config);
  return [
    ...hostProblems(resolved),
    ...portProblems(config, resolved),
    ...memoryProblems(resolved),
    ...backendProblems(config),
    ...webhookProblems(resolved),
  ];
}

function hostProblems({ grpc, web }: ResolvedConfig): ConfigProblem[] {
  return Object.entries({ grpc, web }).flatMap(([front, settings]) => {
    if (settings === undefined || isHost(settings.host)) return [];
    const message = `"${settings.host}" is no host name or address; ports go into ${front}.port, and IPv6 without brackets`;
    return [{ field: `${front}.host`, message }];
  });
}

function isHost(host: string): boolean {
  return isIP(host) !== 0 || /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$/i.test(host);
}

function portProblems(config: ServerConfig, { grpc, web }: ResolvedConfig): ConfigProblem[] {
  if (grpc === undefined || web === undefined) return [];
  if (grpc.port === 0 || grpc.port !== web.port || !overlap(grpc.host, web.host)) return [];
  const field = config.web?.port === undefined ? "grpc.port" : "web.port";
  return [{ field, message: `gRPC and web cannot share ${web.host} port ${web.port}; choose another for one of them` }];
}

const wildcards = new Set(["0.0.0.0", "::"]);
const loopback = new Set(["127.0.0.1", "localhost"]);

function overlap(a: string, b: string): boolean {
  return a === b || wildcards.has(a) || wildcards.has(b) || (loopback.has(a) && loopback.has(b));
}

/** Node refuses new streams of a connection that holds more than this: one message must not close it for the others. */
function memoryProblems({ grpc }: ResolvedConfig): ConfigProblem[] {
  if (grpc === undefined) return [];
  const { maxMessageBytes, maxSessionMemoryMegabytes } = grpc.limits;
  if (maxMessageBytes <= maxSessionMemoryMegabytes * 1_000_000) return [];
  return [
    {
      field: "grpc.limits.max_message_bytes",
      message:
        `a message of ${maxMessageBytes} bytes does not fit into max_session_memory_megabytes, ` +
        `${maxSessionMemoryMegabytes}; raise that to ${Math.ceil(maxMessageBytes / 1_000_000)} at least`,
    },
  ];
}

function backendProblems({ backends }: ServerConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const services = new Set<string>();
  const slots = new Map<string, number>();
  for (const [index, { service, endpoints }] of backends.entries()) {
    const field = `backends[${index}]`;
    if (services.has(service)) {
      problems.push({
        field: `${field}.service`,
        message: `"${service}" has a back-end already; join their endpoints`,
      });
    }
    services.add(service);
    const targets = new Set<string>();
    for (const [number, endpoint] of endpoints.entries()) {
      const place = `${field}.endpoints[${number}]`;
      const { target } = endpoint;
      if (targets.has(target)) problems.push({ field: place, message: `"${target}" is named twice for "${service}"` });
      targets.add(target);
      const message = targetProblem(target);
      if (message !== undefined) problems.push({ field: `${place}.target`, message });
      const before = slots.get(target);
      if (before !== undefined && endpoint.slots !== undefined && endpoint.slots !== before) {
        const conflict = `"${target}" has ${before} slots elsewhere, and all its workflows share them`;
        problems.push({ field: `${place}.slots`, message: conflict });
      }
      if (endpoint.slots !== undefined) slots.set(target, endpoint.slots);
    }
  }
  return problems;
}

function targetProblem(target: string): string | undefined {
  if (target === inProcessTarget) return undefined;
  if (/^in[\s_-]?process$/i.test(target)) return `write "${inProcessTarget}" for a handler in this process`;
  return /\s/.test(target) ? `"${target}" is no gRPC target; one looks like "dns:///gpu-pool:50061"` : undefined;
}

function webhookProblems({ webhooks }: ResolvedConfig): ConfigProblem[] {
  const { secrets, allowedUrls, initialBackoffMs, maxBackoffMs } = webhooks;
  const problems: ConfigProblem[] = [];
  if (allowedUrls.length > 0 && secrets.length === 0) {
    const message =
      "callers may be told of the ends of their runs, and nothing signs that; name a secret, like [{ environment: RETAKE_WEBHOOK_SECRET }]";
    problems.push({ field: "webhooks.secrets", message });
  }
  for (const [index, url] of allowedUrls.entries()) {
    if (URL.canParse(url)) continue;
    problems.push({ field: `webhooks.allowed_urls[${index}]`, message: `"${url}" is no URL` });
  }
  if (initialBackoffMs > maxBackoffMs) {
    const message = `${initialBackoffMs} ms is longer than max_backoff, ${maxBackoffMs} ms; lower it, or raise that`;
    problems.push({ field: "webhooks.initial_backoff", message });
  }
  return problems;
}
