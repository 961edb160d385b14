import { type MeterProvider, metrics } from "@opentelemetry/api";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  PeriodicExportingMetricReader,
  MeterProvider as Sdk,
} from "@opentelemetry/sdk-metrics";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { ProcessMeters } from "../src/process-meters.ts";

beforeEach(() => metrics.disable());

/** A provider that counts, and what it has counted: values by name. */
function counting() {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1_000_000 });
  const provider = new Sdk({ readers: [reader] });
  onTestFinished(() => provider.shutdown());
  const counted = async (): Promise<Record<string, unknown>> => {
    const { resourceMetrics } = await reader.collect();
    return Object.fromEntries(
      resourceMetrics.scopeMetrics.flatMap((scope) =>
        scope.metrics.map(({ descriptor, dataPoints }) => [
          descriptor.name,
          dataPoints.map(({ value }) => (typeof value === "object" ? value.count : value)),
        ]),
      ),
    );
  };
  return { provider, counted };
}

function measureAll(provider: MeterProvider): () => void {
  const meter = provider.getMeter("studio");
  const [counter, upDown] = [meter.createCounter("counter"), meter.createUpDownCounter("up_down")];
  const [gauge, histogram] = [meter.createGauge("gauge"), meter.createHistogram("histogram")];
  meter.createObservableGauge("observed.gauge").addCallback((result) => result.observe(5));
  meter.createObservableCounter("observed.counter").addCallback((result) => result.observe(6));
  const batched = meter.createObservableUpDownCounter("observed.batch");
  meter.addBatchObservableCallback((result) => result.observe(batched, 7), [batched]);
  return () => {
    counter.add(1);
    upDown.add(-2);
    gauge.record(3);
    histogram.record(4);
  };
}

const observed = { "observed.gauge": [5], "observed.counter": [6], "observed.batch": [7] };

describe("ProcessMeters", () => {
  it("passes on what is measured before somebody counts, and after, by instruments of all kinds", async () => {
    const meters = new ProcessMeters();
    meters.offer();
    const measure = measureAll(metrics.getMeterProvider());
    measure();
    const { provider, counted } = counting();
    expect(meters.follow(provider)).toBe(true);
    expect(await counted()).toEqual({ counter: [1], up_down: [-2], gauge: [3], histogram: [1], ...observed });
    measure();
    expect(await counted()).toEqual({ counter: [2], up_down: [-4], gauge: [3], histogram: [2], ...observed });
  });

  it("goes on with the next provider, by the same instruments, and forgets what nobody counts in between", async () => {
    const meters = new ProcessMeters();
    meters.offer();
    const measure = measureAll(metrics.getMeterProvider());
    const [first, second] = [counting(), counting()];
    meters.follow(first.provider);
    measure();
    meters.leave();
    measure();
    meters.follow(second.provider);
    measure();
    expect(await first.counted()).toMatchObject({ counter: [1] });
    expect(await second.counted()).toEqual({ counter: [1], up_down: [-2], gauge: [3], histogram: [1], ...observed });
  });

  it("lets one provider count at a time", async () => {
    const meters = new ProcessMeters();
    const [first, second] = [counting(), counting()];
    expect([meters.follow(first.provider), meters.follow(second.provider)]).toEqual([true, false]);
    metrics.getMeter("studio").createCounter("counter").add(1);
    expect([await first.counted(), await second.counted()]).toEqual([{ counter: [1] }, {}]);
  });

  it("keeps a thousand measurements for the first provider, and no more", async () => {
    const meters = new ProcessMeters();
    const counter = meters.getMeter("studio").createCounter("counter");
    for (let i = 0; i < 1_500; i++) counter.add(1);
    const { provider, counted } = counting();
    meters.follow(provider);
    expect(await counted()).toEqual({ counter: [1_000] });
  });

  it("gives the same instrument each time that a handler asks for it, and takes back callbacks", async () => {
    const meters = new ProcessMeters();
    const { provider, counted } = counting();
    const meter = meters.getMeter("studio", "1.0.0");
    const made = meter.createCounter("counter", { unit: "s" });
    expect(meters.getMeter("studio", "1.0.0").createCounter("counter", { unit: "s" })).toBe(made);
    const [one, all] = [meter.createObservableGauge("one"), meter.createObservableGauge("all")];
    const observeOne = (result: { observe(value: number): void }): void => result.observe(1);
    const observeAll = (result: { observe(of: typeof all, value: number): void }): void => result.observe(all, 2);
    one.addCallback(observeOne);
    meter.addBatchObservableCallback(observeAll, [all]);
    meters.follow(provider);
    expect(await counted()).toEqual({ one: [1], all: [2] });
    one.removeCallback(observeOne);
    meter.removeBatchObservableCallback(observeAll, [all]);
    meters.leave();
    const later = counting();
    meters.follow(later.provider);
    expect(await later.counted()).toEqual({});
  });

  it("leaves the process to a provider that is there already", async () => {
    const own = counting();
    metrics.setGlobalMeterProvider(own.provider);
    const meters = new ProcessMeters();
    expect([meters.offer(), meters.follow(counting().provider)]).toEqual([false, false]);
    metrics.getMeter("studio").createCounter("counter").add(1);
    expect(await own.counted()).toEqual({ counter: [1] });
  });
});
