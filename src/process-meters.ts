import {
  type BatchObservableCallback,
  type Counter,
  createNoopMeter,
  type Gauge,
  type Histogram,
  type Meter,
  type MeterOptions,
  type MeterProvider,
  type MetricOptions,
  metrics,
  type Observable,
  type ObservableCallback,
  type UpDownCounter,
} from "@opentelemetry/api";

/** What is measured before anybody counts, at most: then the rest is let go. */
const mostWaiting = 1_000;

/**
 * The meters of this process until there is somebody who counts, and while there is. OpenTelemetry's API has a stand-in for
 * tracers, and none for meters: what a module makes of them while it is loaded, as nearly all do, would never count.
 *
 * Instruments are as good as their provider of the day, and go on with the next one. What is measured before the first is
 * passed on to it; between two of them nobody counts.
 */
export class ProcessMeters implements MeterProvider {
  readonly #meters = new Map<string, StandInMeter>();
  readonly #measured: Measured = { waiting: [] };
  #provider: MeterProvider | undefined;

  getMeter(name: string, version?: string, options?: MeterOptions): Meter {
    const key = JSON.stringify([name, version, options?.schemaUrl]);
    let meter = this.#meters.get(key);
    if (meter === undefined) {
      meter = new StandInMeter((provider) => provider.getMeter(name, version, options), this.#measured);
      this.#meters.set(key, meter);
      meter.follow(this.#provider);
    }
    return meter;
  }

  /** Makes them those of the process. A provider that is there already is what the program around us wants to have. */
  offer(): boolean {
    if (metrics.getMeterProvider() === this) return true;
    // Asked first: a refusal is told as an error of the program.
    const isTaken = metrics.getMeterProvider().getMeter("retake") !== createNoopMeter();
    return !isTaken && metrics.setGlobalMeterProvider(this);
  }

  /** Lets a provider count, from now on. False where another one does, of this process or of the program around us. */
  follow(provider: MeterProvider): boolean {
    if (this.#provider !== undefined || !this.offer()) return false;
    this.#provider = provider;
    for (const meter of this.#meters.values()) meter.follow(provider);
    const waiting = this.#measured.waiting ?? [];
    this.#measured.waiting = undefined;
    for (const measure of waiting) measure();
    return true;
  }

  /** Leaves the meters of the process to others. */
  leave(): void {
    this.#provider = undefined;
    for (const meter of this.#meters.values()) meter.follow(undefined);
    if (metrics.getMeterProvider() === this) metrics.disable();
  }
}

/** Those of this process, for all its servers. */
export const processMeters = new ProcessMeters();

/** Undefined once there was somebody who counted. */
interface Measured {
  waiting: (() => void)[] | undefined;
}

class StandInMeter implements Meter {
  readonly #meterOf: (provider: MeterProvider) => Meter;
  readonly #measured: Measured;
  /** The same each time: handlers ask for theirs in each call. */
  readonly #instruments = new Map<string, StandIn>();
  readonly #batches: Batch[] = [];
  #meter: Meter | undefined;

  constructor(meterOf: (provider: MeterProvider) => Meter, measured: Measured) {
    this.#meterOf = meterOf;
    this.#measured = measured;
  }

  follow(provider: MeterProvider | undefined): void {
    this.#meter = provider && this.#meterOf(provider);
    for (const instrument of this.#instruments.values()) instrument.follow(this.#meter);
    if (this.#meter !== undefined) for (const batch of this.#batches) addBatch(this.#meter, batch);
  }

  createCounter(name: string, options?: MetricOptions): Counter {
    return this.#instrument("counter", name, options, () => {
      return new StandInCounter((meter) => meter.createCounter(name, options), this.#measured);
    });
  }

  createUpDownCounter(name: string, options?: MetricOptions): UpDownCounter {
    return this.#instrument("up_down_counter", name, options, () => {
      return new StandInCounter((meter) => meter.createUpDownCounter(name, options), this.#measured);
    });
  }

  createGauge(name: string, options?: MetricOptions): Gauge {
    return this.#instrument("gauge", name, options, () => {
      return new StandInRecorder((meter) => meter.createGauge(name, options), this.#measured);
    });
  }

  createHistogram(name: string, options?: MetricOptions): Histogram {
    return this.#instrument("histogram", name, options, () => {
      return new StandInRecorder((meter) => meter.createHistogram(name, options), this.#measured);
    });
  }

  createObservableCounter(name: string, options?: MetricOptions): Observable {
    return this.#instrument("observable_counter", name, options, () => {
      return new StandInObservable((meter) => meter.createObservableCounter(name, options));
    });
  }

  createObservableUpDownCounter(name: string, options?: MetricOptions): Observable {
    return this.#instrument("observable_up_down_counter", name, options, () => {
      return new StandInObservable((meter) => meter.createObservableUpDownCounter(name, options));
    });
  }

  createObservableGauge(name: string, options?: MetricOptions): Observable {
    return this.#instrument("observable_gauge", name, options, () => {
      return new StandInObservable((meter) => meter.createObservableGauge(name, options));
    });
  }

  addBatchObservableCallback(callback: BatchObservableCallback, observables: Observable[]): void {
    if (this.#batches.some((batch) => isBatch(batch, callback, observables))) return;
    const batch: Batch = { callback, observables, passed: passing(callback) };
    this.#batches.push(batch);
    if (this.#meter !== undefined) addBatch(this.#meter, batch);
  }

  removeBatchObservableCallback(callback: BatchObservableCallback, observables: Observable[]): void {
    const index = this.#batches.findIndex((batch) => isBatch(batch, callback, observables));
    const [batch] = index < 0 ? [] : this.#batches.splice(index, 1);
    if (batch !== undefined) this.#meter?.removeBatchObservableCallback(batch.passed, realOnes(observables));
  }

  #instrument<T extends StandIn>(kind: string, name: string, options: MetricOptions | undefined, make: () => T): T {
    const key = JSON.stringify([kind, name, options]);
    let instrument = this.#instruments.get(key);
    if (instrument === undefined) {
      instrument = make();
      this.#instruments.set(key, instrument);
      instrument.follow(this.#meter);
    }
    return instrument as T;
  }
}

/** An instrument whose real one comes, and goes. */
interface StandIn {
  follow(meter: Meter | undefined): void;
}

/** One that is told each measurement as it comes. */
class StandInMeasuring<Real> implements StandIn {
  protected real: Real | undefined;
  readonly #make: (meter: Meter) => Real;
  readonly #measured: Measured;

  constructor(make: (meter: Meter) => Real, measured: Measured) {
    this.#make = make;
    this.#measured = measured;
  }

  follow(meter: Meter | undefined): void {
    this.real = meter && this.#make(meter);
  }

  protected keep(pass: (real: Real | undefined) => void): void {
    const { waiting } = this.#measured;
    if (waiting !== undefined && waiting.length < mostWaiting) waiting.push(() => pass(this.real));
  }
}

class StandInCounter extends StandInMeasuring<UpDownCounter> implements Counter, UpDownCounter {
  add(...measurement: Parameters<UpDownCounter["add"]>): void {
    if (this.real !== undefined) this.real.add(...measurement);
    else this.keep((real) => real?.add(...measurement));
  }
}

class StandInRecorder extends StandInMeasuring<Gauge> implements Gauge, Histogram {
  record(...measurement: Parameters<Gauge["record"]>): void {
    if (this.real !== undefined) this.real.record(...measurement);
    else this.keep((real) => real?.record(...measurement));
  }
}

class StandInObservable implements StandIn, Observable {
  readonly #make: (meter: Meter) => Observable;
  readonly #callbacks = new Set<ObservableCallback>();
  #real: Observable | undefined;

  constructor(make: (meter: Meter) => Observable) {
    this.#make = make;
  }

  get real(): Observable | undefined {
    return this.#real;
  }

  follow(meter: Meter | undefined): void {
    this.#real = meter && this.#make(meter);
    for (const callback of this.#callbacks) this.#real?.addCallback(callback);
  }

  addCallback(callback: ObservableCallback): void {
    this.#callbacks.add(callback);
    this.#real?.addCallback(callback);
  }

  removeCallback(callback: ObservableCallback): void {
    this.#callbacks.delete(callback);
    this.#real?.removeCallback(callback);
  }
}

interface Batch {
  readonly callback: BatchObservableCallback;
  readonly observables: readonly Observable[];
  /** What the real meter is given in its place. */
  readonly passed: BatchObservableCallback;
}

/** The same callback for the same observables, in any order. */
function isBatch(batch: Batch, callback: BatchObservableCallback, observables: readonly Observable[]): boolean {
  const own = new Set(batch.observables);
  const others = new Set(observables);
  return batch.callback === callback && own.size === others.size && observables.every((each) => own.has(each));
}

function addBatch(meter: Meter, { passed, observables }: Batch): void {
  meter.addBatchObservableCallback(passed, realOnes(observables));
}

function passing(callback: BatchObservableCallback): BatchObservableCallback {
  return (result) =>
    callback({
      observe(metric, value, attributes) {
        const real = realOne(metric);
        if (real !== undefined) result.observe(real, value, attributes);
      },
    });
}

function realOnes(observables: readonly Observable[]): Observable[] {
  return observables.map(realOne).filter((real) => real !== undefined);
}

function realOne(observable: Observable): Observable | undefined {
  return observable instanceof StandInObservable ? observable.real : observable;
}
