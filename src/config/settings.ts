import type { Duration } from "@bufbuild/protobuf/wkt";
import { durationMs } from "@bufbuild/protobuf/wkt";
import {
  type ArtifactConfig,
  type BackendTlsConfig,
  ClientCertificate,
  type EndpointConfig,
  type GrpcConfig,
  type GrpcLimits,
  type HealthCheckConfig,
  type OutlierDetectionConfig,
  type OverloadConfig,
  type RetryBudgetConfig,
  type RunsConfig,
  type SecretSource,
  type ServerConfig,
  type TlsConfig,
  type WebConfig,
  type WebhooksConfig,
  type WebLimits,
} from "../../gen/retake/v1/config_pb.js";
import type { Fault } from "../../gen/retake/v1/fault_pb.js";
import type { RetentionPolicy, WorkflowPolicy } from "../../gen/retake/v1/options_pb.js";
import type { RunState } from "../../gen/retake/v1/run_pb.js";
import { mostKept } from "../most-kept.ts";
import {
  type ResolvedMonitoring,
  type ResolvedTelemetry,
  resolveMonitoring,
  resolveTelemetry,
} from "./monitoring-settings.ts";
import { type ResolvedSecurity, resolveSecurity } from "./security-settings.ts";

/** A `ServerConfig` with every default filled in. Durations are in milliseconds. */
export interface ResolvedConfig {
  /** As it was given: a relative path starts from the working directory. */
  readonly dataDirectory: string;
  /** Absent where there is no gRPC port. */
  readonly grpc?: ResolvedGrpc;
  /** Absent where there is no web port. */
  readonly web?: ResolvedWeb;
  /** What the operator overrides of a workflow's policy, by its name. */
  readonly overrides: Readonly<Record<string, WorkflowPolicy>>;
  /**
   * In the order of the configuration. A service that none of them is for has handlers in this process, without a limit
   * of their own.
   */
  readonly backends: readonly ResolvedBackend[];
  /** Files with descriptor sets, as they were given. */
  readonly contracts: readonly string[];
  readonly concurrencyLimit: number;
  readonly retention: ResolvedRetention;
  readonly drainTimeoutMs: number;
  readonly log: { readonly level: LogLevel; readonly format: LogFormat | undefined };
  readonly artifacts: ResolvedArtifacts;
  readonly runs: ResolvedRuns;
  readonly webhooks: ResolvedWebhooks;
  /** Absent where nothing counts as trouble. */
  readonly overload?: ResolvedOverload;
  /** Drills that are on from the start, those that are over among them. */
  readonly faults: readonly Fault[];
  readonly security: ResolvedSecurity;
  /** Absent where nothing is measured. */
  readonly telemetry?: ResolvedTelemetry;
  /** Absent where nothing is kept of what is measured. */
  readonly monitoring?: ResolvedMonitoring;
}

/** From where on a signal means trouble. */
export interface ResolvedOverload {
  readonly eventLoopDelayMs: number;
  /** From 0 to 1. */
  readonly memoryShare: number;
  readonly commitDelayMs: number;
}

export interface ResolvedGrpc {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Absent for plain text. */
  readonly tls?: ResolvedTls;
  readonly limits: ResolvedGrpcLimits;
  readonly reflection: boolean;
  /** Whether connections of trusted proxies begin with the PROXY protocol. */
  readonly proxyProtocol: boolean;
}

export interface ResolvedGrpcLimits {
  readonly maxStreamsPerConnection: number;
  readonly maxConnections: number;
  readonly maxMetadataBytes: number;
  readonly maxMessageBytes: number;
  readonly maxSessionMemoryMegabytes: number;
  readonly maxConnectionAgeMs: number;
  readonly maxConnectionIdleMs: number;
  readonly keepaliveTimeMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly maxConnectionsPerSource: number;
  readonly maxResetsPerSecond: number;
  readonly maxControlFramesPerSecond: number;
  readonly maxUnsentMegabytesPerSource: number;
  /** Of all sources. */
  readonly maxUnsentMegabytes: number;
  readonly abusePenaltyMs: number;
  readonly stallTimeoutMs: number;
}

export interface ResolvedWeb {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Absent for plain text. */
  readonly tls?: ResolvedTls;
  readonly limits: ResolvedWebLimits;
  readonly allowedOrigins: readonly string[];
  readonly allowedHosts: readonly string[];
  /** Whether connections of trusted proxies begin with the PROXY protocol. */
  readonly proxyProtocol: boolean;
}

export interface ResolvedWebLimits {
  readonly maxConnections: number;
  readonly maxHeaderBytes: number;
  readonly maxMessageBytes: number;
  readonly requestTimeoutMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly maxConnectionsPerSource: number;
  readonly stallTimeoutMs: number;
  readonly maxUnsentMegabytesPerSource: number;
  /** Of all sources. */
  readonly maxUnsentMegabytes: number;
}

/** PEM files. */
export interface ResolvedTls {
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Absent where clients are not asked for a certificate. */
  readonly clientCaFile?: string;
  /** Clients that are asked for one may do without. */
  readonly clientCertificateOptional: boolean;
  /** What the authorities have revoked. Absent: not looked at. */
  readonly clientCrlFile?: string;
}

export interface ResolvedBackend {
  /** Absent for all services with a workflow that the endpoints tell by reflection. */
  readonly service?: string;
  readonly endpoints: readonly ResolvedEndpoint[];
  /** Absent where no endpoint is taken out for failing. */
  readonly outlierDetection?: ResolvedOutlierDetection;
  /** Absent where retries need none. */
  readonly retryBudget?: ResolvedRetryBudget;
}

export interface ResolvedOutlierDetection {
  readonly consecutiveFailures: number;
  readonly baseEjectionMs: number;
  readonly maxEjectionMs: number;
  readonly maxEjectionPercent: number;
}

export interface ResolvedRetryBudget {
  readonly maxTokens: number;
  readonly tokenRatio: number;
  readonly tokenIntervalMs: number;
}

export interface ResolvedEndpoint {
  /** `inProcessTarget`, or a gRPC target. */
  readonly target: string;
  /** Over everything that names this target. Infinity for no limit. */
  readonly slots: number;
  /** Absent for plain text. */
  readonly tls?: ResolvedBackendTls;
  readonly keepaliveTimeMs: number;
  readonly keepaliveTimeoutMs: number;
  /** Absent where it is always taken for healthy. */
  readonly healthCheck?: ResolvedHealthCheck;
}

/** PEM files, and a name. */
export interface ResolvedBackendTls {
  readonly caFile?: string;
  readonly certificateFile?: string;
  readonly keyFile?: string;
  readonly serverName?: string;
}

export interface ResolvedHealthCheck {
  /** Empty for the server's overall health. */
  readonly service: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

export interface ResolvedRetention {
  readonly succeededMs: number;
  readonly unsuccessfulMs: number;
  /** How many ended runs are kept, by their state; absent where any number is. */
  readonly most?: ReadonlyMap<RunState, number>;
}

export interface ResolvedArtifacts {
  readonly maxBytes: number;
  /** Of all. Absent for half of the file system. */
  readonly maxTotalBytes?: number;
  /** Absent for half of all. */
  readonly maxBytesPerOwner?: number;
  /** What is asked of their bytes. */
  readonly content: { readonly maxImagePixels: number; readonly uncheckedMediaTypes: readonly string[] };
  readonly gracePeriodMs: number;
  readonly uploadTimeoutMs: number;
}

/** Of each owner, of runs that have not ended. */
export interface ResolvedRuns {
  readonly maxUnfinishedPerOwner: number;
  /** Of their inputs. Absent for a tenth of the file system. */
  readonly maxUnfinishedBytesPerOwner?: number;
}

export interface ResolvedWebhooks {
  readonly secrets: readonly ResolvedSecretSource[];
  /** Where callers may have the ends of their runs posted to. */
  readonly allowedUrls: readonly string[];
  readonly timeoutMs: number;
  readonly concurrency: number;
  readonly concurrencyPerHost: number;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly giveUpAfterMs: number;
  readonly maxInlineResultBytes: number;
}

export type ResolvedSecretSource =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "environment"; readonly name: string };

export type LogFormat = "json" | "pretty";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";

/** The target of an endpoint that is a handler in this process. */
export const inProcessTarget = "in-process";

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const kibibyte = 1_024;
const mebibyte = 1_024 * kibibyte;

/** The defaults that config.proto promises. */
const defaults = {
  /** Beside the contracts, where `ls` does not show it and one line of .gitignore covers it. */
  dataDirectory: ".retake",
  /** Nobody else on the network reaches a server whose operator has not decided about that. */
  host: "127.0.0.1",
  /** What examples of gRPC use everywhere. */
  grpcPort: 50_051,
  webPort: 8_080,
  /** More attempts at once than one process carries out well; workflows and endpoints set the limits that matter. */
  concurrencyLimit: 1_000,
  /** A week to fetch a result, a month to find out why there is none. */
  retention: { succeededMs: 7 * day, unsuccessfulMs: 30 * day },
  /** As long as orchestrators wait between SIGTERM and SIGKILL. */
  drainTimeoutMs: 30 * second,
  logLevel: "info",
  overload: {
    /** Far above what a full but healthy server shows, even on a machine that others use too. */
    eventLoopDelayMs: second,
    /** Beyond this V8 collects garbage most of the time, and a little more ends the process. */
    memoryPercentage: 90,
    /** A hundred times what a slow disk takes. */
    commitDelayMs: 2 * second,
  },
  /** More than anybody means to wait for, and a gigabyte of journal. */
  maxUnfinishedPerOwner: 1_000_000,
  artifacts: {
    /** An hour of film; what no file should be fills no disk by one mistake. */
    maxBytes: 4 * 1_024 * mebibyte,
    /** 400 MB once decoded: more than any camera takes, and what a server still survives. */
    maxImagePixels: 100_000_000,
    /** Uploaded today, used by a run tomorrow. */
    gracePeriodMs: day,
    uploadTimeoutMs: day,
  },
  retryBudget: {
    /** What gRPC's own examples have: four failures in a row are let pass, and ten successes make up for one. */
    maxTokens: 10,
    tokenRatio: 0.1,
    /** A back-end that is down for long is asked some times a minute. */
    tokenIntervalMs: 10 * second,
  },
  endpoint: {
    /** Below what firewalls remember of a silent connection; the answers to probes keep servers from objecting. */
    keepaliveTimeMs: minute,
    /** What gRPC servers allow where they have nothing to answer. */
    unprobedKeepaliveTimeMs: 5 * minute,
    keepaliveTimeoutMs: 20 * second,
    healthCheck: {
      /** A back-end that has hung is left alone before many runs have noticed; the probes of a thousand cost nothing. */
      intervalMs: 5 * second,
      /** Longer than a pause of a busy back-end's garbage collector. */
      timeoutMs: 3 * second,
    },
  },
  outlierDetection: {
    /** Envoy's own defaults for failures in a row and for both times. */
    consecutiveFailures: 5,
    baseEjectionMs: 30 * second,
    maxEjectionMs: 5 * minute,
    /** Pools of GPUs are small: Envoy's tenth of them would be none. */
    maxEjectionPercent: 50,
  },
  grpc: {
    /** Room for a busy client of many runs, ten times what browsers and proxies get. */
    maxStreamsPerConnection: 1_000,
    /** An idle connection costs 32 KB: 10,000 of them fit beside the work. */
    maxConnections: 10_000,
    /** What grpc-js advertises. */
    maxMetadataBytes: 16 * kibibyte,
    /** What gRPC clients take. */
    maxMessageBytes: 4 * mebibyte,
    /** Sixteen of the largest messages. Without a limit one slow reader could fill the memory. */
    maxSessionMemoryMegabytes: 64,
    /** Clients look up their target anew this often, which spreads them over servers. */
    maxConnectionAgeMs: hour,
    /** Longer than a watcher's reconnect, shorter than what firewalls remember of a silent connection. */
    maxConnectionIdleMs: 15 * minute,
    /** Below the idle time-out of common load balancers. */
    keepaliveTimeMs: minute,
    /** gRPC's own default. */
    keepaliveTimeoutMs: 20 * second,
    /** Many clients behind one address, and still no more of one than a fortieth of all. */
    maxConnectionsPerSource: 256,
    /** A reset costs some 40 us: this many are half a percent of a core, and 20 s of them at once less than a tenth of a second. */
    maxResetsPerSecond: 100,
    /** More than clients send that measure their line by PING, and a hundredth of what floods it. */
    maxControlFramesPerSecond: 1_000,
    /** Resets at once and a pause of this length come to one percent of a core. */
    abusePenaltyMs: 10 * second,
    /** As long as a whole request may take on the web port. */
    stallTimeoutMs: minute,
  },
  /** Of each port. */
  unsent: {
    /** Sixteen of the largest messages; all clients behind one address together hardly have more on their way. */
    megabytesPerSource: 64,
    /** Eight sources that do their worst. */
    megabytes: 512,
  },
  web: {
    maxConnections: 10_000,
    /** Node's own default. */
    maxHeaderBytes: 16 * kibibyte,
    maxMessageBytes: 4 * mebibyte,
    /** Long enough for the largest message over a slow line, too short for a slow-loris attack to pay. */
    requestTimeoutMs: minute,
    /** Above the 60 s of common load balancers, so that they close an idle connection first. */
    keepaliveTimeoutMs: 75 * second,
    maxConnectionsPerSource: 256,
    stallTimeoutMs: minute,
  },
  webhooks: {
    /** A receiver takes the message and works later; one that needs longer is about to fail. */
    timeoutMs: 10 * second,
    /** Enough for 160 a second at 100 ms each, and little beside the work. */
    concurrency: 16,
    concurrencyPerHost: 4,
    /** A receiver that restarts is back by the second or third time. */
    initialBackoffMs: 5 * second,
    maxBackoffMs: hour,
    /** A weekend. */
    giveUpAfterMs: 3 * day,
    /** Well below what common receivers take in one body. */
    maxInlineResultBytes: 16 * kibibyte,
  },
} as const;

/** Fills in the defaults of config.proto. The configuration must have passed its rules. */
export function withDefaults(config: ServerConfig): ResolvedConfig {
  const web = config.web?.disabled ? undefined : resolveWeb(config.web);
  return {
    dataDirectory: config.dataDirectory || defaults.dataDirectory,
    ...(!config.grpc?.disabled && { grpc: resolveGrpc(config.grpc) }),
    ...(web && { web }),
    overrides: { ...config.workflows },
    backends: resolveBackends(config),
    contracts: [...config.contracts],
    concurrencyLimit: config.concurrencyLimit ?? defaults.concurrencyLimit,
    retention: resolveRetention(config.retention),
    drainTimeoutMs: msOr(config.drainTimeout, defaults.drainTimeoutMs),
    log: {
      level: (config.log?.level || defaults.logLevel) as LogLevel,
      format: (config.log?.format || undefined) as LogFormat | undefined,
    },
    artifacts: resolveArtifacts(config.artifacts),
    runs: resolveRuns(config.runs),
    webhooks: resolveWebhooks(config.webhooks),
    faults: [...config.faults],
    ...(!config.overload?.disabled && { overload: resolveOverload(config.overload) }),
    security: resolveSecurity(config.security),
    ...(!config.telemetry?.disabled && { telemetry: resolveTelemetry(config.telemetry, web?.host) }),
    ...(!config.telemetry?.disabled &&
      !config.monitoring?.disabled && { monitoring: resolveMonitoring(config.monitoring) }),
  };
}

function resolveOverload(overload: OverloadConfig | undefined): ResolvedOverload {
  const own = defaults.overload;
  return {
    eventLoopDelayMs: msOr(overload?.eventLoopDelay, own.eventLoopDelayMs),
    memoryShare: (overload?.memoryPercentage ?? own.memoryPercentage) / 100,
    commitDelayMs: msOr(overload?.commitDelay, own.commitDelayMs),
  };
}

function resolveArtifacts(artifacts: ArtifactConfig | undefined): ResolvedArtifacts {
  const own = defaults.artifacts;
  return {
    maxBytes: Number(artifacts?.maxBytes ?? own.maxBytes),
    ...(artifacts?.maxTotalBytes !== undefined && { maxTotalBytes: Number(artifacts.maxTotalBytes) }),
    ...(artifacts?.maxBytesPerOwner !== undefined && { maxBytesPerOwner: Number(artifacts.maxBytesPerOwner) }),
    content: {
      maxImagePixels: Number(artifacts?.maxImagePixels ?? own.maxImagePixels),
      uncheckedMediaTypes: [...(artifacts?.uncheckedMediaTypes ?? [])],
    },
    gracePeriodMs: msOr(artifacts?.gracePeriod, own.gracePeriodMs),
    uploadTimeoutMs: msOr(artifacts?.uploadTimeout, own.uploadTimeoutMs),
  };
}

function resolveRuns(runs: RunsConfig | undefined): ResolvedRuns {
  const bytes = runs?.maxUnfinishedBytesPerOwner;
  return {
    maxUnfinishedPerOwner: runs?.maxUnfinishedPerOwner ?? defaults.maxUnfinishedPerOwner,
    ...(bytes !== undefined && { maxUnfinishedBytesPerOwner: Number(bytes) }),
  };
}

function resolveGrpc(grpc: GrpcConfig | undefined): ResolvedGrpc {
  return {
    host: grpc?.host || defaults.host,
    port: grpc?.port ?? defaults.grpcPort,
    ...(grpc?.tls && { tls: resolveTls(grpc.tls) }),
    limits: resolveGrpcLimits(grpc?.limits),
    reflection: grpc?.reflection ?? true,
    proxyProtocol: grpc?.proxyProtocol ?? false,
  };
}

function resolveGrpcLimits(limits: GrpcLimits | undefined): ResolvedGrpcLimits {
  const own = defaults.grpc;
  const maxMessageBytes = limits?.maxMessageBytes ?? own.maxMessageBytes;
  return {
    maxStreamsPerConnection: limits?.maxStreamsPerConnection ?? own.maxStreamsPerConnection,
    maxConnections: limits?.maxConnections ?? own.maxConnections,
    maxMetadataBytes: limits?.maxMetadataBytes ?? own.maxMetadataBytes,
    maxMessageBytes,
    maxSessionMemoryMegabytes: limits?.maxSessionMemoryMegabytes ?? own.maxSessionMemoryMegabytes,
    maxConnectionAgeMs: msOr(limits?.maxConnectionAge, own.maxConnectionAgeMs),
    maxConnectionIdleMs: msOr(limits?.maxConnectionIdle, own.maxConnectionIdleMs),
    keepaliveTimeMs: msOr(limits?.keepaliveTime, own.keepaliveTimeMs),
    keepaliveTimeoutMs: msOr(limits?.keepaliveTimeout, own.keepaliveTimeoutMs),
    maxConnectionsPerSource: limits?.maxConnectionsPerSource ?? own.maxConnectionsPerSource,
    maxResetsPerSecond: limits?.maxResetsPerSecond ?? own.maxResetsPerSecond,
    maxControlFramesPerSecond: limits?.maxControlFramesPerSecond ?? own.maxControlFramesPerSecond,
    ...resolveUnsent(limits, maxMessageBytes),
    abusePenaltyMs: msOr(limits?.abusePenalty, own.abusePenaltyMs),
    stallTimeoutMs: msOr(limits?.stallTimeout, own.stallTimeoutMs),
  };
}

function resolveWeb(web: WebConfig | undefined): ResolvedWeb {
  return {
    host: web?.host || defaults.host,
    port: web?.port ?? defaults.webPort,
    ...(web?.tls && { tls: resolveTls(web.tls) }),
    limits: resolveWebLimits(web?.limits),
    allowedOrigins: [...(web?.allowedOrigins ?? [])],
    allowedHosts: [...(web?.allowedHosts ?? [])],
    proxyProtocol: web?.proxyProtocol ?? false,
  };
}

function resolveWebLimits(limits: WebLimits | undefined): ResolvedWebLimits {
  const own = defaults.web;
  return {
    maxConnections: limits?.maxConnections ?? own.maxConnections,
    maxHeaderBytes: limits?.maxHeaderBytes ?? own.maxHeaderBytes,
    maxMessageBytes: limits?.maxMessageBytes ?? own.maxMessageBytes,
    requestTimeoutMs: msOr(limits?.requestTimeout, own.requestTimeoutMs),
    keepaliveTimeoutMs: msOr(limits?.keepaliveTimeout, own.keepaliveTimeoutMs),
    maxConnectionsPerSource: limits?.maxConnectionsPerSource ?? own.maxConnectionsPerSource,
    stallTimeoutMs: msOr(limits?.stallTimeout, own.stallTimeoutMs),
    ...resolveUnsent(limits, limits?.maxMessageBytes ?? own.maxMessageBytes),
  };
}

/** What may be left unread: the largest messages must be able to be sent. */
function resolveUnsent(
  limits: Pick<GrpcLimits | WebLimits, "maxUnsentMegabytesPerSource" | "maxUnsentMegabytes"> | undefined,
  maxMessageBytes: number,
): Pick<ResolvedWebLimits, "maxUnsentMegabytesPerSource" | "maxUnsentMegabytes"> {
  const own = defaults.unsent;
  const maxUnsentMegabytesPerSource =
    limits?.maxUnsentMegabytesPerSource ??
    Math.max(own.megabytesPerSource, Math.ceil((4 * maxMessageBytes) / mebibyte));
  return {
    maxUnsentMegabytesPerSource,
    maxUnsentMegabytes: limits?.maxUnsentMegabytes ?? Math.max(own.megabytes, 8 * maxUnsentMegabytesPerSource),
  };
}

function resolveTls({
  certificateFile,
  keyFile,
  clientCaFile,
  clientCertificate,
  clientCrlFile,
}: TlsConfig): ResolvedTls {
  return {
    certificateFile,
    keyFile,
    ...(clientCaFile !== "" && { clientCaFile }),
    clientCertificateOptional: clientCertificate === ClientCertificate.OPTIONAL,
    ...(clientCrlFile !== "" && { clientCrlFile }),
  };
}

/** One target has one set of settings, wherever it is named: the one place that gives a setting speaks for all. */
function resolveBackends({ backends }: ServerConfig): readonly ResolvedBackend[] {
  const settings = new Map<string, EndpointConfig>();
  for (const endpoint of backends.flatMap(({ endpoints }) => endpoints)) {
    const known = settings.get(endpoint.target);
    settings.set(endpoint.target, known === undefined ? endpoint : { ...known, ...givenIn(endpoint) });
  }
  const resolved = new Map([...settings].map(([target, endpoint]) => [target, resolveEndpoint(endpoint)] as const));
  return backends.map(({ service, endpoints, outlierDetection, retryBudget }) => ({
    ...(service !== "" && { service }),
    endpoints: endpoints.flatMap(({ target }) => resolved.get(target) ?? []),
    ...(outlierDetection?.disabled !== true && { outlierDetection: resolveOutlierDetection(outlierDetection) }),
    ...(retryBudget && { retryBudget: resolveRetryBudget(retryBudget) }),
  }));
}

function resolveOutlierDetection(detection: OutlierDetectionConfig | undefined): ResolvedOutlierDetection {
  const own = defaults.outlierDetection;
  return {
    consecutiveFailures: detection?.consecutiveFailures ?? own.consecutiveFailures,
    baseEjectionMs: msOr(detection?.baseEjectionTime, own.baseEjectionMs),
    maxEjectionMs: msOr(detection?.maxEjectionTime, own.maxEjectionMs),
    maxEjectionPercent: detection?.maxEjectionPercent ?? own.maxEjectionPercent,
  };
}

function resolveRetryBudget({ maxTokens, tokenRatio, tokenInterval }: RetryBudgetConfig): ResolvedRetryBudget {
  const own = defaults.retryBudget;
  return {
    maxTokens: maxTokens ?? own.maxTokens,
    tokenRatio: tokenRatio ?? own.tokenRatio,
    tokenIntervalMs: msOr(tokenInterval, own.tokenIntervalMs),
  };
}

function givenIn(endpoint: EndpointConfig): Partial<EndpointConfig> {
  return Object.fromEntries(Object.entries(endpoint).filter(([, value]) => value !== undefined));
}

function resolveEndpoint({ target, slots, tls, keepaliveTime, keepaliveTimeout, healthCheck }: EndpointConfig) {
  const own = defaults.endpoint;
  const probed = target !== inProcessTarget && healthCheck?.disabled !== true;
  return {
    target,
    slots: slots ?? Number.POSITIVE_INFINITY,
    ...(tls && { tls: resolveBackendTls(tls) }),
    keepaliveTimeMs: msOr(keepaliveTime, probed ? own.keepaliveTimeMs : own.unprobedKeepaliveTimeMs),
    keepaliveTimeoutMs: msOr(keepaliveTimeout, own.keepaliveTimeoutMs),
    ...(probed && { healthCheck: resolveHealthCheck(healthCheck) }),
  } satisfies ResolvedEndpoint;
}

function resolveBackendTls({ caFile, certificateFile, keyFile, serverName }: BackendTlsConfig): ResolvedBackendTls {
  return {
    ...(caFile !== "" && { caFile }),
    ...(certificateFile !== "" && { certificateFile }),
    ...(keyFile !== "" && { keyFile }),
    ...(serverName !== "" && { serverName }),
  };
}

function resolveHealthCheck(check: HealthCheckConfig | undefined): ResolvedHealthCheck {
  const own = defaults.endpoint.healthCheck;
  return {
    service: check?.service ?? "",
    intervalMs: msOr(check?.interval, own.intervalMs),
    timeoutMs: msOr(check?.timeout, own.timeoutMs),
  };
}

function resolveRetention(retention: RetentionPolicy | undefined): ResolvedRetention {
  return {
    succeededMs: msOr(retention?.succeeded, defaults.retention.succeededMs),
    unsuccessfulMs: msOr(retention?.unsuccessful, defaults.retention.unsuccessfulMs),
    ...mostKept(retention),
  };
}

function resolveWebhooks(webhooks: WebhooksConfig | undefined): ResolvedWebhooks {
  const own = defaults.webhooks;
  return {
    secrets: (webhooks?.secrets ?? []).map(resolveSecretSource),
    allowedUrls: [...(webhooks?.allowedUrls ?? [])],
    timeoutMs: msOr(webhooks?.timeout, own.timeoutMs),
    concurrency: webhooks?.concurrency ?? own.concurrency,
    concurrencyPerHost: webhooks?.concurrencyPerHost ?? own.concurrencyPerHost,
    initialBackoffMs: msOr(webhooks?.initialBackoff, own.initialBackoffMs),
    maxBackoffMs: msOr(webhooks?.maxBackoff, own.maxBackoffMs),
    giveUpAfterMs: msOr(webhooks?.giveUpAfter, own.giveUpAfterMs),
    maxInlineResultBytes: webhooks?.maxInlineResultBytes ?? own.maxInlineResultBytes,
  };
}

function resolveSecretSource({ source }: SecretSource): ResolvedSecretSource {
  return source.case === "file"
    ? { kind: "file", path: source.value }
    : { kind: "environment", name: source.value ?? "" };
}

function msOr(duration: Duration | undefined, fallbackMs: number): number {
  return duration === undefined ? fallbackMs : durationMs(duration);
}
