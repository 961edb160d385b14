import type { IOtlpExportDelegate } from "@opentelemetry/otlp-exporter-base";
import {
  type ISerializer,
  LogsExporterMetricsHelper,
  MetricsExporterMetricsHelper,
  ProtobufLogsSerializer,
  ProtobufTraceSerializer,
  TraceExporterMetricsHelper,
} from "@opentelemetry/otlp-transformer";
import { createExportRequest, type ExportOrigin, type WrittenRecords } from "../../otlp/index.ts";
import type { BatchExporter } from "./batch-sender.ts";
import type { OtlpProtocol } from "./otel-environment.ts";

const signals = {
  traces: {
    ...{ variable: "TRACES", http: "v1/traces", grpc: "TraceExportService", kind: "span" },
    grpcPath: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    items: TraceExporterMetricsHelper.name,
  },
  metrics: {
    ...{ variable: "METRICS", http: "v1/metrics", grpc: "MetricsExportService", kind: "metric" },
    grpcPath: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    items: MetricsExporterMetricsHelper.name,
  },
  logs: {
    ...{ variable: "LOGS", http: "v1/logs", grpc: "LogsExportService", kind: "log" },
    grpcPath: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    items: LogsExporterMetricsHelper.name,
  },
} as const;

const deserializers = {
  traces: ProtobufTraceSerializer.deserializeResponse,
  logs: ProtobufLogsSerializer.deserializeResponse,
} as const;

/**
 * Sends spans or log records that are written already. The exporters of OpenTelemetry take objects only: to make those, and to
 * write them down, for a trace and an audit record of each run took a third of what a busy server can do.
 */
export function writtenExporter(
  signal: keyof typeof deserializers,
  protocol: OtlpProtocol,
  origin: ExportOrigin,
): Promise<BatchExporter> {
  const serializer = { serializeRequest: createExportRequest(origin), deserializeResponse: deserializers[signal] };
  return exportDelegate(signal, protocol, serializer, countRecords);
}

/** Where to send, with which headers and how long it may take, it reads from the environment itself. */
export async function exportDelegate<Items>(
  signal: keyof typeof signals,
  protocol: OtlpProtocol,
  serializer: ISerializer<Items, unknown>,
  countItems: (items: Items) => number,
): Promise<IOtlpExportDelegate<Items>> {
  const { variable, http, grpc, grpcPath, kind, items: name } = signals[signal];
  const counts = { name, countItems };
  // Each is loaded where it is needed only.
  if (protocol === "grpc") {
    const { convertLegacyOtlpGrpcOptions, createOtlpGrpcExportDelegate } = await import(
      "@opentelemetry/otlp-grpc-exporter-base"
    );
    const options = convertLegacyOtlpGrpcOptions({}, variable);
    return createOtlpGrpcExportDelegate<Items, unknown>(
      ...([options, serializer, `otlp_grpc_${kind}_exporter`, counts, undefined, grpc, grpcPath] as const),
    );
  }
  const { convertLegacyHttpOptions, createOtlpHttpExportDelegate } = await import(
    "@opentelemetry/otlp-exporter-base/node-http"
  );
  const options = convertLegacyHttpOptions({}, variable, http, { "Content-Type": "application/x-protobuf" });
  return createOtlpHttpExportDelegate<Items, unknown>(
    ...([options, serializer, `otlp_http_${kind}_exporter`, counts, undefined] as const),
  );
}

function countRecords(batch: readonly WrittenRecords[]): number {
  return batch.reduce((sum, { ends }) => sum + ends.length, 0);
}
