import type {
  Attributes,
  BatchObservableCallback,
  Histogram,
  Meter,
  MeterProvider,
  MetricOptions,
  Observable,
  ObservableCallback,
  ObservableResult,
  UpDownCounter,
} from "@opentelemetry/api";

/** Takes out of a text what must not be told. It is asked for the same few again and again. */
export type Redact = (text: string) => string;

/** No telephone or card number has fewer digits. */
const smallestNumber = 1_000_000;

/**
 * The meters of a provider, for whoever measures by OpenTelemetry's API: what they tell series apart by is redacted before it
 * is counted, so that series that become one are counted as one, whoever reads them.
 */
export function redactedMeters(provider: MeterProvider, redact: Redact): MeterProvider {
  const shown = (text: string | undefined): string | undefined => text && redact(text);
  return {
    getMeter(name, version, options) {
      const schemaUrl = shown(options?.schemaUrl);
      const redacted = schemaUrl === undefined ? options : { ...options, schemaUrl };
      return redactedMeter(provider.getMeter(redact(name), shown(version), redacted), redact);
    },
  };
}

function redactedMeter(meter: Meter, redact: Redact): Meter {
  const nameOf = (name: string): string => {
    const redacted = redact(name);
    return redacted === name ? name : redacted.replace(/[^A-Za-z0-9_.\-/]/g, "_");
  };
  const optionsOf = <T extends MetricOptions>(options: T | undefined): T | undefined =>
    options?.description === undefined ? options : { ...options, description: redact(options.description) };
  const adding = ({ add }: UpDownCounter): UpDownCounter["add"] => withRedacted(add, redact);
  const recording = ({ record }: Histogram): Histogram["record"] => withRedacted(record, redact);
  const observed = (observable: Observable): Observable => new RedactedObservable(observable, redact);
  /** By the callbacks that were given: they are taken back by those. */
  const batches = new WeakMap<BatchObservableCallback, BatchObservableCallback>();
  return {
    createGauge: (name, options) => {
      const gauge = meter.createGauge(nameOf(name), optionsOf(options));
      return { record: recording({ record: gauge.record.bind(gauge) }) };
    },
    createHistogram: (name, options) => {
      const histogram = meter.createHistogram(nameOf(name), optionsOf(options));
      return { record: recording({ record: histogram.record.bind(histogram) }) };
    },
    createCounter: (name, options) => {
      const counter = meter.createCounter(nameOf(name), optionsOf(options));
      return { add: adding({ add: counter.add.bind(counter) }) };
    },
    createUpDownCounter: (name, options) => {
      const counter = meter.createUpDownCounter(nameOf(name), optionsOf(options));
      return { add: adding({ add: counter.add.bind(counter) }) };
    },
    createObservableGauge: (name, options) => observed(meter.createObservableGauge(nameOf(name), optionsOf(options))),
    createObservableCounter: (name, options) =>
      observed(meter.createObservableCounter(nameOf(name), optionsOf(options))),
    createObservableUpDownCounter: (name, options) =>
      observed(meter.createObservableUpDownCounter(nameOf(name), optionsOf(options))),
    addBatchObservableCallback(callback, observables) {
      const own: BatchObservableCallback =
        batches.get(callback) ??
        ((result) =>
          callback({
            observe: (metric, value, attributes) =>
              result.observe(observableOf(metric), value, redactedAttributes(attributes, redact)),
          }));
      batches.set(callback, own);
      meter.addBatchObservableCallback(own, observables.map(observableOf));
    },
    removeBatchObservableCallback(callback, observables) {
      const own = batches.get(callback);
      if (own !== undefined) meter.removeBatchObservableCallback(own, observables.map(observableOf));
    },
  };
}

function withRedacted<Rest extends unknown[]>(
  measure: (value: number, attributes?: Attributes, ...rest: Rest) => void,
  redact: Redact,
): typeof measure {
  return (value, attributes, ...rest) => measure(value, redactedAttributes(attributes, redact), ...rest);
}

class RedactedObservable implements Observable {
  readonly observable: Observable;
  readonly #redact: Redact;
  /** By the callbacks that were given: they are taken back by those. */
  readonly #callbacks = new Map<ObservableCallback, ObservableCallback>();

  constructor(observable: Observable, redact: Redact) {
    this.observable = observable;
    this.#redact = redact;
  }

  addCallback(callback: ObservableCallback): void {
    const redact = this.#redact;
    const own: ObservableCallback =
      this.#callbacks.get(callback) ??
      ((result: ObservableResult) =>
        callback({
          observe: (value, attributes) => result.observe(value, redactedAttributes(attributes, redact)),
        }));
    this.#callbacks.set(callback, own);
    this.observable.addCallback(own);
  }

  removeCallback(callback: ObservableCallback): void {
    const own = this.#callbacks.get(callback);
    if (own === undefined) return;
    this.#callbacks.delete(callback);
    this.observable.removeCallback(own);
  }
}

function observableOf(observable: Observable): Observable {
  return observable instanceof RedactedObservable ? observable.observable : observable;
}

/** The same object where nothing is taken out, as nearly always. */
function redactedAttributes(attributes: Attributes | undefined, redact: Redact): Attributes | undefined {
  let redacted: Attributes | undefined;
  for (const name in attributes) {
    const value = attributes[name];
    const shownName = redact(name);
    const shown = redactedValue(value, redact);
    if (shownName === name && shown === value) continue;
    redacted ??= { ...attributes };
    delete redacted[name];
    redacted[shownName] = shown;
  }
  return redacted ?? attributes;
}

function redactedValue(value: Attributes[string], redact: Redact): Attributes[string] {
  switch (typeof value) {
    case "string":
      return redact(value);
    case "number": {
      if (Math.abs(value) < smallestNumber) return value;
      const text = String(value);
      const shown = redact(text);
      return shown === text ? value : shown;
    }
    case "object":
      if (value === null || ArrayBuffer.isView(value)) return value;
      return Array.isArray(value)
        ? value.map((each) => redactedValue(each, redact))
        : redactedAttributes(value as Attributes, redact);
    default:
      return value;
  }
}
