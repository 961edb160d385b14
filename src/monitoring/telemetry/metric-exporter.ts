import { MetricsExporterMetricsHelper, ProtobufMetricsSerializer } from "@opentelemetry/otlp-transformer";
import type { PushMetricExporter, ResourceMetrics } from "@opentelemetry/sdk-metrics";
import type { Clock } from "../../clock.ts";
import { metricRequest } from "./metric-request.ts";
import type { OtlpProtocol } from "./otel-environment.ts";
import { exportDelegate } from "./written-exporter.ts";

export interface MetricExporterOptions {
  /** Whether runs have spans that are exported. */
  readonly hasRunSpans: boolean;
  readonly clock: Pick<Clock, "now">;
}

/** Where to send, with which headers and how long it may take, it reads from the environment itself. */
export async function metricExporter(
  protocol: OtlpProtocol,
  { hasRunSpans, clock }: MetricExporterOptions,
): Promise<PushMetricExporter> {
  let [sinceMs, lastMs] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const serializer = {
    serializeRequest(metrics: ResourceMetrics): Uint8Array {
      const nowMs = clock.now();
      const request = metricRequest(metrics, { hasRunSpans, sinceMs });
      // Each is told twice: one may come a while after the time that it has, and a request may be lost.
      [sinceMs, lastMs] = [lastMs, nowMs];
      return request;
    },
    deserializeResponse: ProtobufMetricsSerializer.deserializeResponse,
  };
  const delegate = await exportDelegate<ResourceMetrics>(
    "metrics",
    protocol,
    serializer,
    MetricsExporterMetricsHelper.countItems,
  );
  const { AggregationTemporalityPreference, OTLPMetricExporterBase } = await import(
    "@opentelemetry/exporter-metrics-otlp-http"
  );
  // As our own instruments are: of two kinds of counters in one request, receivers would make nonsense.
  const temporalityPreference = AggregationTemporalityPreference.CUMULATIVE;
  return new OTLPMetricExporterBase(delegate, { temporalityPreference });
}
