import type { Resource } from "@opentelemetry/resources";
import {
  type IMetricReader,
  MeterProvider,
  type MetricProducer,
  MetricReader,
  type ResourceMetrics,
} from "@opentelemetry/sdk-metrics";
import { processMeters } from "../../process-meters.ts";
import { type Redact, redactedMeters } from "./redacted-meters.ts";

export interface MetersOptions {
  readonly resource: Resource;
  /** Series of one metric. */
  readonly cardinalityLimit: number;
  /** What is counted without the SDK. */
  readonly producer: MetricProducer;
  /** Takes out of names and values of attributes what must not be told. */
  readonly redact: Redact;
  /** Those who export. */
  readonly readers?: readonly IMetricReader[];
}

/** How long whoever closes waits until those who export have sent what is left. */
const closeTimeoutMs = 5_000;
/** A measurement that others make may take so long; without one it is read the next time. */
const collectTimeoutMs = 5_000;

/** Reads when it is asked to. */
class AskedReader extends MetricReader {
  protected override async onShutdown(): Promise<void> {}
  protected override async onForceFlush(): Promise<void> {}
}

/** The meters of this process, for whoever uses OpenTelemetry's API, and what they and our own instruments have counted. */
export class Meters {
  readonly provider: MeterProvider;
  readonly #reader: AskedReader;
  readonly #isGlobal: boolean;

  constructor({ resource, cardinalityLimit, producer, redact, readers = [] }: MetersOptions) {
    this.#reader = new AskedReader({ metricProducers: [producer], cardinalitySelector: () => cardinalityLimit });
    this.provider = new MeterProvider({ resource, readers: [this.#reader, ...readers] });
    this.#isGlobal = processMeters.follow(redactedMeters(this.provider, redact));
  }

  /** Everything, cumulated. What cannot be read is told, and left out. */
  async collect(onError: (error: unknown) => void): Promise<ResourceMetrics> {
    const { resourceMetrics, errors } = await this.#reader.collect({ timeoutMillis: collectTimeoutMs });
    for (const error of errors) onError(error);
    return resourceMetrics;
  }

  /** Sends what is left to those who export. */
  async close(): Promise<void> {
    if (this.#isGlobal) processMeters.leave();
    await this.provider.shutdown({ timeoutMillis: closeTimeoutMs });
  }
}
