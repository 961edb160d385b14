import { type HrTime, ValueType } from "@opentelemetry/api";
import { millisToHrTime } from "@opentelemetry/core";
import { emptyResource } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  type CollectionResult,
  type DataPoint,
  DataPointType,
  type Histogram,
  type MetricData,
  type MetricDescriptor,
  type MetricProducer,
  type ScopeMetrics,
} from "@opentelemetry/sdk-metrics";
import type { Clock } from "../../clock.ts";
import type {
  Exemplar,
  HistogramCell,
  HistogramFamily,
  Instruments,
  MetricAttributes,
  MetricFamily,
  NumberFamily,
} from "../../instruments.ts";

/** A point of a histogram of ours: the SDK of today has no exemplars, so that its own points have none. They go on changing. */
export interface ExemplarDataPoint extends DataPoint<Histogram> {
  /** By bucket. */
  readonly exemplars?: readonly (Exemplar | undefined)[];
}

/** A meter of a user's may be called the same. */
class OwnScope {
  readonly name = "retake";
  readonly version: string;

  constructor(version: string) {
    this.version = version;
  }
}

/** Whether it is that of our own instruments, which are the server's and those that handlers have by their context. */
export function isOwnScope(scope: ScopeMetrics["scope"]): boolean {
  return scope instanceof OwnScope;
}

/** Gives readers of OpenTelemetry's SDK what our own instruments count, beside what the SDK's do. */
export class InstrumentsProducer implements MetricProducer {
  readonly #instruments: Instruments;
  readonly #clock: Clock;
  readonly #startTime: HrTime;
  readonly #scope: OwnScope;
  /** Readers know a series by its attributes, and a metric by its descriptor. */
  readonly #descriptors = new WeakMap<MetricFamily, MetricDescriptor>();

  constructor(options: { readonly instruments: Instruments; readonly clock: Clock; readonly version: string }) {
    this.#instruments = options.instruments;
    this.#clock = options.clock;
    this.#startTime = millisToHrTime(options.clock.now());
    this.#scope = new OwnScope(options.version);
  }

  async collect(): Promise<CollectionResult> {
    const endTime = millisToHrTime(this.#clock.now());
    const errors: unknown[] = [];
    const metrics = this.#instruments
      .collect((error) => errors.push(error))
      .map((family) => this.#metric(family, endTime))
      .filter(({ dataPoints }) => dataPoints.length > 0);
    return { resourceMetrics: { resource: emptyResource(), scopeMetrics: [{ scope: this.#scope, metrics }] }, errors };
  }

  #metric(family: MetricFamily, endTime: HrTime): MetricData {
    const descriptor = this.#descriptorOf(family);
    const times = { startTime: this.#startTime, endTime };
    const base = { descriptor, aggregationTemporality: AggregationTemporality.CUMULATIVE };
    if (family.kind === "histogram") {
      return { ...base, dataPointType: DataPointType.HISTOGRAM, dataPoints: histogramPoints(family, times) };
    }
    const dataPoints = numberPoints(family, times);
    return family.kind === "gauge"
      ? { ...base, dataPointType: DataPointType.GAUGE, dataPoints }
      : { ...base, dataPointType: DataPointType.SUM, isMonotonic: family.kind === "counter", dataPoints };
  }

  #descriptorOf(family: MetricFamily): MetricDescriptor {
    let descriptor = this.#descriptors.get(family);
    if (descriptor === undefined) {
      const { name, description, unit } = family.description;
      descriptor = { name, description, unit, valueType: ValueType.DOUBLE };
      this.#descriptors.set(family, descriptor);
    }
    return descriptor;
  }
}

type Times = Pick<DataPoint<unknown>, "startTime" | "endTime">;

function numberPoints(family: NumberFamily, times: Times): DataPoint<number>[] {
  return Array.from(family.cells(), ({ attributes, value }) => ({ ...times, attributes: asIs(attributes), value }));
}

function histogramPoints(family: HistogramFamily, times: Times): ExemplarDataPoint[] {
  return Array.from(family.cells(), (cell) => ({
    ...times,
    attributes: asIs(cell.attributes),
    value: histogramOf(cell),
    ...(cell.exemplars.length > 0 && { exemplars: cell.exemplars }),
  }));
}

function histogramOf({ bounds, counts, sum, count }: HistogramCell): Histogram {
  // A copy, because exporters look at it later.
  return { buckets: { boundaries: [...bounds], counts: [...counts] }, sum, count };
}

/** The same object each time: collectors tell series by it. */
function asIs(attributes: MetricAttributes): DataPoint<unknown>["attributes"] {
  return attributes as DataPoint<unknown>["attributes"];
}
