import { type HrTime, ValueType } from "@opentelemetry/api";
import {
  type DataPoint,
  DataPointType,
  type Histogram,
  type MetricData,
  type ResourceMetrics,
} from "@opentelemetry/sdk-metrics";
import type { Exemplar } from "../../instruments.ts";
import { type OtlpAttributes, ProtoWriter, writeAttribute, writeAttributes } from "../../otlp/index.ts";
import { attemptSpanId, runSpanId } from "../../span-ids.ts";
import type { ExemplarDataPoint } from "./instruments-producer.ts";

export interface MetricRequestOptions {
  /** Whether runs and their attempts have spans that are exported. */
  readonly hasRunSpans: boolean;
  /** Exemplars of before have been sent. */
  readonly sinceMs: number;
}

/** What a Collector is sent: an Export request of metrics, with the exemplars that OpenTelemetry's own code leaves out. */
export function metricRequest({ resource, scopeMetrics }: ResourceMetrics, options: MetricRequestOptions): Uint8Array {
  const writer = new ProtoWriter();
  const all = writer.start(1);
  const owner = writer.start(1);
  // Those of our own resource are all there at once.
  writeAttributes(writer, 1, resource.attributes as OtlpAttributes);
  // None is left out.
  writer.varint(2, 0);
  writer.finish(owner);
  for (const { scope, metrics } of scopeMetrics) {
    const scoped = writer.start(2);
    const by = writer.start(1);
    writer.text(1, scope.name);
    if (scope.version) writer.text(2, scope.version);
    writer.finish(by);
    for (const metric of metrics) writeMetric(writer, metric, options);
    if (scope.schemaUrl) writer.text(3, scope.schemaUrl);
    writer.finish(scoped);
  }
  writer.finish(all);
  return writer.take();
}

function writeMetric(writer: ProtoWriter, metric: MetricData, options: MetricRequestOptions): void {
  const { name, description, unit, valueType } = metric.descriptor;
  const start = writer.start(2);
  writer.text(1, name);
  if (description !== "") writer.text(2, description);
  if (unit !== "") writer.text(3, unit);
  switch (metric.dataPointType) {
    case DataPointType.GAUGE: {
      const gauge = writer.start(5);
      for (const point of metric.dataPoints) writeNumber(writer, point, valueType);
      writer.finish(gauge);
      break;
    }
    case DataPointType.SUM: {
      const sum = writer.start(7);
      for (const point of metric.dataPoints) writeNumber(writer, point, valueType);
      writer.varint(2, temporalityOf(metric));
      if (metric.isMonotonic) writer.varint(3, 1);
      writer.finish(sum);
      break;
    }
    case DataPointType.HISTOGRAM: {
      const histogram = writer.start(9);
      for (const point of metric.dataPoints) writeHistogram(writer, point, options);
      writer.varint(2, temporalityOf(metric));
      writer.finish(histogram);
      break;
    }
    // No view of ours makes exponential histograms.
  }
  writer.finish(start);
}

/** OTLP counts from 1. */
function temporalityOf({ aggregationTemporality }: MetricData): number {
  return aggregationTemporality + 1;
}

function writeNumber(
  writer: ProtoWriter,
  { startTime, endTime, value, attributes }: DataPoint<number>,
  type: ValueType,
): void {
  const start = writer.start(1);
  writer.fixed64(2, nanoseconds(startTime));
  writer.fixed64(3, nanoseconds(endTime));
  if (type === ValueType.INT && Number.isFinite(value)) {
    writer.fixed64(6, BigInt.asUintN(64, BigInt(Math.trunc(value))));
  } else {
    writer.double(4, value);
  }
  writeAttributes(writer, 7, attributes as OtlpAttributes);
  writer.finish(start);
}

function writeHistogram(writer: ProtoWriter, point: DataPoint<Histogram>, options: MetricRequestOptions): void {
  const { startTime, endTime, value, attributes } = point;
  const { exemplars = [] } = point as ExemplarDataPoint;
  const start = writer.start(1);
  writer.fixed64(2, nanoseconds(startTime));
  writer.fixed64(3, nanoseconds(endTime));
  writer.fixed64(4, BigInt(value.count));
  if (value.sum !== undefined) writer.double(5, value.sum);
  writer.fixed64s(6, value.buckets.counts);
  if (value.buckets.boundaries.length > 0) writer.doubles(7, value.buckets.boundaries);
  for (const exemplar of exemplars) {
    if (exemplar !== undefined && exemplar.timeMs >= options.sinceMs) writeExemplar(writer, exemplar, options);
  }
  writeAttributes(writer, 9, attributes as OtlpAttributes);
  if (value.min !== undefined) writer.double(11, value.min);
  if (value.max !== undefined) writer.double(12, value.max);
  writer.finish(start);
}

function writeExemplar(writer: ProtoWriter, exemplar: Exemplar, { hasRunSpans }: MetricRequestOptions): void {
  const { timeMs, value, traceId, runId } = exemplar;
  const start = writer.start(8);
  // To the microsecond: a number has no room for more.
  writer.fixed64(2, BigInt(Math.round(timeMs * 1_000)) * 1_000n);
  writer.double(3, value);
  const spanId = traceId === "" ? "" : exemplar.spanId || (hasRunSpans ? spanIdOf(exemplar) : "");
  if (spanId !== "") writer.hex(4, spanId);
  if (traceId !== "") writer.hex(5, traceId);
  if (runId !== "") writeAttribute(writer, 7, "retake.run.id", runId);
  writer.finish(start);
}

function spanIdOf({ runId, attempt }: Exemplar): string {
  if (runId === "") return "";
  return attempt > 0 ? attemptSpanId(runId, attempt) : runSpanId(runId);
}

function nanoseconds([seconds, nanos]: HrTime): bigint {
  return BigInt(seconds) * 1_000_000_000n + BigInt(nanos);
}
