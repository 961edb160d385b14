import {
  LogsExporterMetricsHelper,
  ProtobufLogsSerializer,
  ProtobufTraceSerializer,
  TraceExporterMetricsHelper,
} from "@opentelemetry/otlp-transformer";
import { createExportRequest, type ExportOrigin } from "../../otlp/index.ts";
import type { BatchExporter } from "./batch-sender.ts";
import type { OtlpProtocol } from "./otel-environment.ts";

const signals = {
  traces: {
    ...{ variable: "TRACES", http: "v1/traces", grpc: "TraceExportService", kind: "span" },
    grpcPath: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    deserializeResponse: ProtobufTraceSerializer.deserializeResponse,
    items: TraceExporterMetricsHelper.name,
  },
  logs: {
    ...{ variable: "LOGS", http: "v1/logs", grpc: "LogsExportService", kind: "log" },
    grpcPath: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    deserializeResponse: ProtobufLogsSerializer.deserializeResponse,
    items: LogsExporterMetricsHelper.name,
  },
} as const;

/**
 * Sends spans or log records that are written already. The exporters of OpenTelemetry take objects only: to make those, and to
 * write them down, for a trace and an audit record of each run took a third of what a busy server can do. Where to send,
 * with which headers and how long it may take, they read from the environment themselves.
 */
export async function writtenExporter(
  signal: keyof typeof signals,
  protocol: OtlpProtocol,
  origin: ExportOrigin,
): Promise<BatchExporter<Uint8Array>> {
  const { variable, http, grpc, grpcPath, kind, deserializeResponse, items: name } = signals[signal];
  const serializer = { serializeRequest: createExportRequest(origin), deserializeResponse };
  const counts = { name, countItems: (records: readonly Uint8Array[]) => records.length };
  // Each is loaded where it is needed only.
  if (protocol === "grpc") {
    const { convertLegacyOtlpGrpcOptions, createOtlpGrpcExportDelegate } = await import(
      "@opentelemetry/otlp-grpc-exporter-base"
    );
    const options = convertLegacyOtlpGrpcOptions({}, variable);
    return createOtlpGrpcExportDelegate<readonly Uint8Array[], unknown>(
      ...([options, serializer, `otlp_grpc_${kind}_exporter`, counts, undefined, grpc, grpcPath] as const),
    );
  }
  const { convertLegacyHttpOptions, createOtlpHttpExportDelegate } = await import(
    "@opentelemetry/otlp-exporter-base/node-http"
  );
  const options = convertLegacyHttpOptions({}, variable, http, { "Content-Type": "application/x-protobuf" });
  return createOtlpHttpExportDelegate<readonly Uint8Array[], unknown>(
    ...([options, serializer, `otlp_http_${kind}_exporter`, counts, undefined] as const),
  );
}
