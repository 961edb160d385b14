import { isIP } from "node:net";
import { durationMs } from "@bufbuild/protobuf/wkt";
import type { AlertRule } from "../../gen/retake/v1/alert_pb.js";
import type { MonitoringConfig, SloConfig, TelemetryConfig } from "../../gen/retake/v1/monitoring_config_pb.js";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { type ResolvedNotifier, type ResolvedRoute, resolveNotifier, resolveRoute } from "./notifier-settings.ts";

/** A `TelemetryConfig` with every default filled in. */
export interface ResolvedTelemetry {
  readonly metricsEndpoint: boolean;
  /** Of those who read there. */
  readonly metricsLevel: AccessLevel;
  readonly cardinalityLimit: number;
  /** Those that are exported. */
  readonly spansPerSecond: number;
}

/** A `MonitoringConfig` with every default filled in. */
export interface ResolvedMonitoring extends ResolvedAlerting {
  readonly series: { readonly limit: number };
}

/** What of it is about alerts, and is read anew while the server runs. */
export interface ResolvedAlerting {
  readonly rules: readonly AlertRule[];
  readonly slos: readonly ResolvedSlo[];
  readonly notifiers: readonly ResolvedNotifier[];
  /** None for the default: everything to everybody. */
  readonly routes: readonly ResolvedRoute[];
  /** Names of built-in rules that are left out. */
  readonly disabledRules: readonly string[];
  /** Where people reach this server; empty for nowhere. */
  readonly externalUrl: string;
}

/** An `SloConfig`. */
export interface ResolvedSlo {
  readonly workflow: string;
  readonly availability?: number;
  readonly latency?: { readonly seconds: number; readonly objective: number };
}

/** Names and addresses are many more than this; a metric with so many series is of no use to anybody. */
const defaultCardinalityLimit = 2_000;

/** As many cost a server that is busy some percent of what it can do, and are those of hundreds of runs. */
export const defaultSpansPerSecond = 1_000;

/** Some 128 MB. */
const defaultSeriesLimit = 20_000;

/** @param webHost where the web port listens, if there is one */
export function resolveTelemetry(config: TelemetryConfig | undefined, webHost: string | undefined): ResolvedTelemetry {
  return {
    metricsEndpoint: webHost !== undefined && (config?.metricsEndpoint ?? true),
    metricsLevel:
      config?.metricsLevel ||
      (webHost === undefined || isLoopback(webHost) ? AccessLevel.PUBLIC : AccessLevel.PRIVILEGED),
    cardinalityLimit: config?.cardinalityLimit ?? defaultCardinalityLimit,
    spansPerSecond: config?.spansPerSecond ?? defaultSpansPerSecond,
  };
}

export function resolveMonitoring(config: MonitoringConfig | undefined): ResolvedMonitoring {
  return {
    series: { limit: config?.series?.limit ?? defaultSeriesLimit },
    rules: [...(config?.rules ?? [])],
    slos: (config?.slos ?? []).map(resolveSlo),
    notifiers: (config?.notifiers ?? []).map(resolveNotifier),
    routes: (config?.routes ?? []).map(resolveRoute),
    disabledRules: [...(config?.disabledRules ?? [])],
    externalUrl: config?.externalUrl ?? "",
  };
}

function resolveSlo({ workflow, availability, latency }: SloConfig): ResolvedSlo {
  return {
    workflow,
    ...(availability !== undefined && { availability }),
    ...(latency?.threshold !== undefined && {
      latency: { seconds: durationMs(latency.threshold) / 1_000, objective: latency.objective },
    }),
  };
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
