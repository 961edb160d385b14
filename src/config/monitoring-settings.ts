import { isIP } from "node:net";
import type { MonitoringConfig, TelemetryConfig } from "../../gen/retake/v1/monitoring_config_pb.js";

/** A `TelemetryConfig` with every default filled in. */
export interface ResolvedTelemetry {
  readonly metricsEndpoint: boolean;
  readonly cardinalityLimit: number;
}

/** A `MonitoringConfig` with every default filled in. */
export interface ResolvedMonitoring {
  readonly series: { readonly limit: number };
}

/** Names and addresses are many more than this; a metric with so many series is of no use to anybody. */
const defaultCardinalityLimit = 2_000;

/** Some 128 MB. */
const defaultSeriesLimit = 20_000;

/** @param webHost where the web port listens, if there is one */
export function resolveTelemetry(config: TelemetryConfig | undefined, webHost: string | undefined): ResolvedTelemetry {
  return {
    metricsEndpoint: config?.metricsEndpoint ?? (webHost !== undefined && isLoopback(webHost)),
    cardinalityLimit: config?.cardinalityLimit ?? defaultCardinalityLimit,
  };
}

export function resolveMonitoring(config: MonitoringConfig | undefined): ResolvedMonitoring {
  return { series: { limit: config?.series?.limit ?? defaultSeriesLimit } };
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
