import { LogsExporterMetricsHelper, ProtobufLogsSerializer } from "@opentelemetry/otlp-transformer";
import { createLogsRequest, type LogsOrigin } from "../../otlp/index.ts";
import type { BatchExporter } from "./batch-sender.ts";
import type { OtlpProtocol } from "./otel-environment.ts";

const path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/**
 * Sends log records that are written already. The exporters of OpenTelemetry take objects only: to make those, and to write
 * them down, of an audit log with a record for each run took a fifth of what a busy server can do.
 */
export async function logExporter(protocol: OtlpProtocol, origin: LogsOrigin): Promise<BatchExporter<Uint8Array>> {
  const serializer = {
    serializeRequest: createLogsRequest(origin),
    deserializeResponse: ProtobufLogsSerializer.deserializeResponse,
  };
  const { name } = LogsExporterMetricsHelper;
  const counts = { name, countItems: (records: readonly Uint8Array[]) => records.length };
  if (protocol === "grpc") {
    const { convertLegacyOtlpGrpcOptions, createOtlpGrpcExportDelegate } = await import(
      "@opentelemetry/otlp-grpc-exporter-base"
    );
    const options = convertLegacyOtlpGrpcOptions({}, "LOGS");
    return createOtlpGrpcExportDelegate(
      ...([options, serializer, "otlp_grpc_log_exporter", counts, undefined, "LogsExportService", path] as const),
    );
  }
  const { convertLegacyHttpOptions, createOtlpHttpExportDelegate } = await import(
    "@opentelemetry/otlp-exporter-base/node-http"
  );
  const options = convertLegacyHttpOptions({}, "LOGS", "v1/logs", { "Content-Type": "application/x-protobuf" });
  return createOtlpHttpExportDelegate(options, serializer, "otlp_http_log_exporter", counts, undefined);
}
