import type { PushMetricExporter } from "@opentelemetry/sdk-metrics";
import type { OtlpProtocol } from "./otel-environment.ts";

/** Where to send, with which headers and how long it may take, it reads from the environment itself. */
export async function metricExporter(protocol: OtlpProtocol): Promise<PushMetricExporter> {
  const { OTLPMetricExporter } =
    protocol === "grpc"
      ? await import("@opentelemetry/exporter-metrics-otlp-grpc")
      : await import("@opentelemetry/exporter-metrics-otlp-proto");
  return new OTLPMetricExporter() as PushMetricExporter;
}
