import { isIP } from "node:net";
import { create, equals, isFieldSet } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import {
  type EndpointConfig,
  EndpointConfigSchema,
  type ServerConfig,
  ServerConfigSchema,
} from "../../gen/retake/v1/config_pb.js";
import { ownValidator } from "../own-validator.ts";
import { identityProblems } from "./check-identities.ts";
import { monitoringProblems } from "./check-monitoring.ts";
import type { ConfigProblem } from "./config-error.ts";
import { inProcessTarget, type ResolvedConfig, withDefaults } from "./settings.ts";

/** What breaks the rules of config.proto; if nothing does, what makes no sense together. */
export function configProblems(config: ServerConfig): ConfigProblem[] {
  const checked = ownValidator.validate(ServerConfigSchema, config);
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
    ...plaintextProblems(resolved),
    ...lockoutProblems(resolved),
    ...proxyProtocolProblems(resolved),
    ...portProblems(config, resolved),
    ...memoryProblems(resolved),
    ...backendProblems(config),
    ...webhookProblems(resolved),
    ...identityProblems(resolved),
    ...monitoringProblems(resolved),
  ];
}

function hostProblems({ grpc, web }: ResolvedConfig): ConfigProblem[] {
  return Object.entries({ grpc, web }).flatMap(([front, settings]) => {
    if (settings === undefined || isHost(settings.host)) return [];
    const message = `"${settings.host}" is no host name or address; ports go into ${front}.port, and IPv6 without brackets`;
    return [{ field: `${front}.host`, message }];
  });
}

/** Keys, requests and results must not travel in the open because nobody has thought of it. */
function plaintextProblems({ grpc, web, security }: ResolvedConfig): ConfigProblem[] {
  if (security.allowPlaintext) return [];
  return Object.entries({ grpc, web }).flatMap(([front, settings]) => {
    if (settings === undefined || settings.tls !== undefined || isLoopback(settings.host)) return [];
    if (!isHost(settings.host)) return [];
    const message =
      `"${settings.host}" is reached by other machines, and without TLS everybody on the way can read and change what is ` +
      `sent: set ${front}.tls, or listen on 127.0.0.1, or, where something else encrypts the way, say so by ` +
      "security: { allow_plaintext: true }";
    return [{ field: `${front}.host`, message }];
  });
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

function lockoutProblems({ security: { lockout } }: ResolvedConfig): ConfigProblem[] {
  if (lockout === undefined || lockout.initialDelayMs <= lockout.maxLockoutMs) return [];
  return [{ field: "security.lockout.initial_delay", message: "is longer than the longest lock-out, max_lockout" }];
}

function proxyProtocolProblems({ grpc, web, security }: ResolvedConfig): ConfigProblem[] {
  if (security.proxies !== undefined) return [];
  return Object.entries({ grpc, web }).flatMap(([front, settings]) => {
    if (settings?.proxyProtocol !== true) return [];
    const message = "is taken from trusted proxies alone, and there are none: name them in security.trusted_proxies";
    return [{ field: `${front}.proxy_protocol`, message }];
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
  const before = new Map<string, EndpointConfig[]>();
  for (const [index, { service, endpoints }] of backends.entries()) {
    const field = `backends[${index}]`;
    if (service !== "" && services.has(service)) {
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
      const message = targetProblem(target, service);
      if (message !== undefined) problems.push({ field: `${place}.target`, message });
      const others = before.get(target) ?? [];
      problems.push(...connectionProblems(endpoint, place), ...conflicts(endpoint, others, place));
      before.set(target, [...others, endpoint]);
    }
  }
  return problems;
}

/** What an endpoint says of itself that cannot be. */
function connectionProblems({ target, tls, ...settings }: EndpointConfig, place: string): ConfigProblem[] {
  if (target === inProcessTarget) {
    const { keepaliveTime, keepaliveTimeout, healthCheck } = settings;
    const given = Object.entries({ tls, keepaliveTime, keepaliveTimeout, healthCheck });
    return given.flatMap(([name, value]) => {
      const message = "a handler in this process has no connection; remove it";
      return value === undefined ? [] : [{ field: `${place}.${snakeCase(name)}`, message }];
    });
  }
  if (tls === undefined || (tls.certificateFile === "") === (tls.keyFile === "")) return [];
  const [missing, given] = tls.keyFile === "" ? ["key_file", "certificate_file"] : ["certificate_file", "key_file"];
  return [{ field: `${place}.tls.${given}`, message: `needs ${missing}: a certificate is of use with its key only` }];
}

/** One target is one endpoint, however many back-ends name it. */
function conflicts(endpoint: EndpointConfig, others: readonly EndpointConfig[], place: string): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const field of EndpointConfigSchema.fields) {
    const [own, other] = [endpoint, others.find((candidate) => isFieldSet(candidate, field))];
    if (field.name === "target" || other === undefined || !isFieldSet(own, field)) continue;
    const only = (from: EndpointConfig): EndpointConfig =>
      create(EndpointConfigSchema, { [field.localName]: from[field.localName as keyof EndpointConfig] });
    if (equals(EndpointConfigSchema, only(own), only(other))) continue;
    const message =
      field.name === "slots"
        ? `"${endpoint.target}" has ${other.slots} slots elsewhere, and all its workflows share them`
        : `"${endpoint.target}" has another ${field.name} elsewhere, and is one endpoint; keep one of them`;
    problems.push({ field: `${place}.${field.name}`, message });
  }
  return problems;
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function targetProblem(target: string, service: string): string | undefined {
  if (target === inProcessTarget) {
    return service === "" ? `name the service whose handlers are meant: service: "package.Service"` : undefined;
  }
  if (/^in[\s_-]?process$/i.test(target)) return `write "${inProcessTarget}" for a handler in this process`;
  const scheme = /^(https?):\/\//i.exec(target)?.[1]?.toLowerCase();
  if (scheme !== undefined) {
    const address = target.slice(scheme.length + 3).replace(/\/.*$/, "");
    return `"${target}" is a URL; write "dns:///${address}"${scheme === "https" ? ", and tls: {}" : ""}`;
  }
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
