import type { PushMetricExporter } from "@opentelemetry/sdk-metrics";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import type { BatchExporter } from "./batch-sender.ts";
import type { OtlpProtocol } from "./otel-environment.ts";

// The exporters read where to send, with which headers and how long it may take, from the environment themselves. Each is
// loaded where it is needed only: they are many megabytes of generated code.

export async function spanExporter(protocol: OtlpProtocol): Promise<BatchExporter<ReadableSpan>> {
  const { OTLPTraceExporter } =
    protocol === "grpc"
      ? await import("@opentelemetry/exporter-trace-otlp-grpc")
      : await import("@opentelemetry/exporter-trace-otlp-proto");
  return new OTLPTraceExporter();
}

export async function metricExporter(protocol: OtlpProtocol): Promise<PushMetricExporter> {
  const { OTLPMetricExporter } =
    protocol === "grpc"
      ? await import("@opentelemetry/exporter-metrics-otlp-grpc")
      : await import("@opentelemetry/exporter-metrics-otlp-proto");
  return new OTLPMetricExporter() as PushMetricExporter;
}
