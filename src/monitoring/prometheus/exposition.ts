import type { Attributes } from "@opentelemetry/api";
import { type DataPoint, DataPointType, type Histogram } from "@opentelemetry/sdk-metrics";
import type { Exemplar } from "../../instruments.ts";
import type { ExemplarDataPoint } from "../telemetry/instruments-producer.ts";
import type { FamilyMember, MetricFamily } from "./metric-families.ts";
import { labelName, unitSuffix } from "./metric-name.ts";

/** `prometheus` is the text format 0.0.4, `openmetrics` is OpenMetrics 1.0. */
export type ExpositionFormat = "prometheus" | "openmetrics";

export const contentTypes: Readonly<Record<ExpositionFormat, string>> = {
  prometheus: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/** What is told of all series together, as `target_info`. */
export interface ExposedMetrics {
  readonly resource: Attributes;
  readonly families: readonly MetricFamily[];
}

/** Metrics as text, series by series: whoever writes them chooses when others have their turn. */
export function* exposition({ resource, families }: ExposedMetrics, format: ExpositionFormat): Generator<string> {
  const open = format === "openmetrics";
  const info = labelsOf(resource);
  if (info !== "") {
    yield head(open ? "target" : "target_info", open ? "info" : "gauge", "What is measured.", "", open);
    yield `target_info{${info}} 1\n`;
  }
  for (const { name, kind, unit, description, members } of families) {
    const base = kind === "counter" ? name.slice(0, -"_total".length) : name;
    yield head(open ? base : name, kind, description, unitOf(base, unit), open);
    for (const member of members) yield* memberLines(name, member, open);
  }
  if (open) yield "# EOF\n";
}

function* memberLines(name: string, { scope, metric }: FamilyMember, open: boolean): Generator<string> {
  const own = pairs(Object.entries(scope.labels));
  const labelsAt = ({ attributes }: DataPoint<unknown>): string => {
    const labels = labelsOf(attributes);
    return own === "" || labels === "" ? labels + own : `${labels},${own}`;
  };
  if (metric.dataPointType === DataPointType.HISTOGRAM) {
    for (const point of metric.dataPoints) yield histogramLines(name, labelsAt(point), point, open);
  } else {
    for (const point of metric.dataPoints as DataPoint<number>[]) {
      yield line(name, labelsAt(point), numberText(point.value));
    }
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

function histogramLines(name: string, labels: string, point: DataPoint<Histogram>, open: boolean): string {
  const { buckets, sum, count } = point.value;
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
  return pairs([...values]);
}

function pairs(labels: readonly (readonly [label: string, value: string])[]): string {
  return labels.map(([label, value]) => `${label}="${escapeValue(value)}"`).join(",");
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
