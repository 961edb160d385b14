import type { Attributes } from "@opentelemetry/api";
import { type DataPoint, DataPointType, type Histogram, type MetricData } from "@opentelemetry/sdk-metrics";
import type { Exemplar } from "../../instruments.ts";
import type { ExemplarDataPoint } from "../telemetry/instruments-producer.ts";
import { labelName, metricName, SampleNames, unitSuffix } from "./metric-name.ts";

/** `prometheus` is the text format 0.0.4, `openmetrics` is OpenMetrics 1.0. */
export type ExpositionFormat = "prometheus" | "openmetrics";

export const contentTypes: Readonly<Record<ExpositionFormat, string>> = {
  prometheus: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/** What is told of all series together, as `target_info`. */
export interface ExposedMetrics {
  readonly resource: Attributes;
  readonly metrics: readonly MetricData[];
}

/**
 * Metrics as text, series by series: whoever writes them chooses when others have their turn. Metrics that have the same
 * name once it is one of Prometheus, or one that samples of another have, are left out but for the first, since a name has one
 * type.
 */
export function* exposition({ resource, metrics }: ExposedMetrics, format: ExpositionFormat): Generator<string> {
  const open = format === "openmetrics";
  const info = labelsOf(resource);
  if (info !== "") {
    yield head(open ? "target" : "target_info", open ? "info" : "gauge", "What is measured.", "", open);
    yield `target_info{${info}} 1\n`;
  }
  const names = new SampleNames();
  for (const own of ["target", "target_info"]) names.claim(own, "gauge");
  const told = new Set<string>();
  for (const metric of metrics) {
    const kind = kindOf(metric);
    if (kind === undefined) continue;
    const { descriptor } = metric;
    const name = metricName(descriptor.name, descriptor.unit, kind);
    const base = kind === "counter" ? name.slice(0, -"_total".length) : name;
    if (told.has(base) || !names.claim(name, kind)) continue;
    told.add(base);
    yield head(open ? base : name, kind, descriptor.description, unitOf(base, descriptor.unit), open);
    if (metric.dataPointType === DataPointType.HISTOGRAM) {
      for (const point of metric.dataPoints) yield histogramLines(name, point, open);
    } else {
      for (const { attributes, value } of metric.dataPoints as DataPoint<number>[]) {
        yield line(name, labelsOf(attributes), numberText(value));
      }
    }
  }
  if (open) yield "# EOF\n";
}

function kindOf(metric: MetricData): "gauge" | "counter" | "histogram" | undefined {
  switch (metric.dataPointType) {
    case DataPointType.GAUGE:
      return "gauge";
    case DataPointType.SUM:
      return metric.isMonotonic ? "counter" : "gauge";
    case DataPointType.HISTOGRAM:
      return "histogram";
    default:
      // No view of ours makes exponential histograms.
      return undefined;
  }
}

function head(name: string, kind: string, description: string, unit: string, open: boolean): string {
  const help = escapeHelp(description === "" ? name : description, open);
  const unitLine = open && unit !== "" ? `# UNIT ${name} ${unit}\n` : "";
  return `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n${unitLine}`;
}

/** OpenMetrics wants names to end in the unit that they tell. */
function unitOf(name: string, unit: string): string {
  const suffix = unitSuffix(unit);
  return suffix !== "" && name.endsWith(`_${suffix}`) ? suffix : "";
}

function histogramLines(name: string, point: DataPoint<Histogram>, open: boolean): string {
  const { buckets, sum, count } = point.value;
  const labels = labelsOf(point.attributes);
  const { exemplars } = point as ExemplarDataPoint;
  let below = 0;
  let text = "";
  for (const [i, inBucket] of buckets.counts.entries()) {
    below += inBucket;
    const bound = buckets.boundaries[i];
    const le = bound === undefined ? "+Inf" : boundText(bound, open);
    const exemplar = open ? exemplarText(exemplars?.[i]) : "";
    text += line(`${name}_bucket`, `${labels}${labels && ","}le="${le}"`, `${below}${exemplar}`);
  }
  // A histogram of values that may fall has no sum.
  if (sum !== undefined) text += line(`${name}_sum`, labels, numberText(sum));
  return text + line(`${name}_count`, labels, String(count));
}

/** OpenMetrics writes bounds as floating-point numbers, always. */
function boundText(bound: number, open: boolean): string {
  return open && Number.isInteger(bound) ? `${bound}.0` : numberText(bound);
}

function exemplarText(exemplar: Exemplar | undefined): string {
  if (exemplar === undefined) return "";
  const { traceId, runId, value, timeMs } = exemplar;
  const labels = [
    ...(traceId === "" ? [] : [`trace_id="${traceId}"`]),
    ...(runId === "" ? [] : [`run_id="${escapeValue(runId)}"`]),
  ];
  return ` # {${labels.join(",")}} ${numberText(value)} ${timeMs / 1000}`;
}

function line(name: string, labels: string, value: string): string {
  return labels === "" ? `${name} ${value}\n` : `${name}{${labels}} ${value}\n`;
}

/** Collectors give the same attributes each time, so that their text is made once. */
const known = new WeakMap<Attributes, string>();

function labelsOf(attributes: Attributes): string {
  let text = known.get(attributes);
  if (text === undefined) {
    text = labelsText(attributes);
    known.set(attributes, text);
  }
  return text;
}

/** Names that are the same once they are ones of Prometheus share a label, as OpenTelemetry's specification has it. */
function labelsText(attributes: Attributes): string {
  const values = new Map<string, string>();
  for (const name of Object.keys(attributes).sort()) {
    const value = attributes[name];
    if (value === undefined) continue;
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    const label = labelName(name);
    const before = values.get(label);
    values.set(label, before === undefined ? text : `${before};${text}`);
  }
  return Array.from(values, ([label, value]) => `${label}="${escapeValue(value)}"`).join(",");
}

function escapeValue(text: string): string {
  return text.toWellFormed().replace(/[\\"\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`));
}

function escapeHelp(text: string, open: boolean): string {
  const characters = open ? /[\\"\n]/g : /[\\\n]/g;
  return text.toWellFormed().replace(characters, (character) => (character === "\n" ? "\\n" : `\\${character}`));
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return String(value);
}
