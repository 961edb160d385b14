import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import { describe, expect, it } from "vitest";
import { Instruments } from "../../../src/instruments.ts";
import { MetricFamilies } from "../../../src/monitoring/prometheus/metric-families.ts";
import type { LabelMatcher } from "../../../src/monitoring/series/matcher.ts";
import { querySeries, type SeriesResult } from "../../../src/monitoring/series/query-series.ts";
import type { Series } from "../../../src/monitoring/series/series.ts";
import { SeriesCollector } from "../../../src/monitoring/series/series-collector.ts";
import { noSeriesStorage, type SeriesStorage } from "../../../src/monitoring/series/series-storage.ts";
import { SeriesStore } from "../../../src/monitoring/series/series-store.ts";
import { InstrumentsProducer } from "../../../src/monitoring/telemetry/instruments-producer.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";

class ManualReader extends MetricReader {
  protected override async onShutdown(): Promise<void> {}
  protected override async onForceFlush(): Promise<void> {}
}

const minute = 60_000;

async function setUp(storage: SeriesStorage = noSeriesStorage, maxSeries = 1_000, log = silentLogger) {
  const clock = createVirtualClock({ startMs: 1_800_000_000_000 });
  const store = await SeriesStore.open({ clock, log: silentLogger, storage, maxSeries });
  const instruments = new Instruments(100);
  const reader = new ManualReader({
    metricProducers: [new InstrumentsProducer({ instruments, clock, version: "1.0.0" })],
  });
  const provider = new MeterProvider({ readers: [reader] });
  const meter = provider.getMeter("test");
  const sampled: number[] = [];
  const collector = new SeriesCollector({
    ...{ clock, store, log, onSampled: async (timeMs: number) => void sampled.push(timeMs) },
    families: new MetricFamilies(log),
    collect: async () => (await reader.collect()).resourceMetrics,
  });
  const query = (name: string, windowMs: number, ...matchers: LabelMatcher[]): Promise<SeriesResult[]> => {
    const metric = collector.metrics.get(name);
    if (metric === undefined) throw new Error(`there is no metric ${name}`);
    return querySeries(store, clock.now(), { metric, matchers, afterMs: clock.now() - windowMs, untilMs: clock.now() });
  };
  return { clock, store, instruments, provider, meter, collector, sampled, query };
}

describe("SeriesCollector", () => {
  it("samples every instrument each ten seconds, under the names of Prometheus", async () => {
    const { clock, meter, collector, sampled, store } = await setUp();
    meter
      .createCounter("retake.runs.ended", { unit: "{run}", description: "Runs that ended." })
      .add(3, { "retake.state": "FAILED" });
    meter.createGauge("retake.journal.size", { unit: "By" }).record(512);
    meter.createUpDownCounter("retake.runs.active", { unit: "{run}" }).add(2);
    meter
      .createHistogram("rpc.server.call.duration", { unit: "s", advice: { explicitBucketBoundaries: [0.1, 1] } })
      .record(0.5);
    collector.start();
    await clock.advance(35_000);
    await collector.close();

    expect(sampled.map((timeMs) => timeMs - 1_800_000_000_000)).toEqual([10_000, 20_000, 30_000]);
    expect(store.names()).toEqual([
      "retake_journal_size_bytes",
      "retake_runs_active",
      "retake_runs_ended_total",
      "rpc_server_call_duration_seconds_bucket",
      "rpc_server_call_duration_seconds_count",
      "rpc_server_call_duration_seconds_sum",
    ]);
    expect(collector.metrics.get("retake_runs_ended_total")).toEqual({
      ...{ name: "retake_runs_ended_total", kind: "counter", unit: "{run}", description: "Runs that ended." },
    });
    const [ended] = store.select("retake_runs_ended_total", () => true);
    expect([ended?.labels, ended?.lastValue]).toEqual([{ retake_state: "FAILED", otel_scope_name: "test" }, 3]);
    const buckets = store.select("rpc_server_call_duration_seconds_bucket", () => true);
    expect(buckets.map(({ labels, lastValue }) => [labels["le"], lastValue])).toEqual([
      ["0.1", 0],
      ["1", 1],
      ["+Inf", 1],
    ]);
  });

  it("lets counters that are new begin with 0 at the round before, so that what they counted first is an increase", async () => {
    const { clock, meter, collector, query } = await setUp();
    const early = meter.createCounter("studio.early");
    early.add(2);
    collector.start();
    await clock.advance(30_000);
    meter.createCounter("studio.late").add(5);
    meter.createGauge("studio.depth").record(7);
    await clock.advance(10_000);
    await collector.close();
    const samplesOf = async (name: string) => (await query(name, minute))[0]?.samples.values;
    expect(await samplesOf("studio_early_total")).toEqual([0, 2, 2, 2, 2]);
    expect(await samplesOf("studio_late_total")).toEqual([0, 5]);
    expect(await samplesOf("studio_depth")).toEqual([7]);
  });

  it("goes on while the disk does not answer, and asks it one thing at a time", async () => {
    let writes = 0;
    const storage: SeriesStorage = {
      ...noSeriesStorage,
      write: () => {
        writes++;
        return new Promise(() => {});
      },
    };
    const { clock, meter, collector, sampled, store } = await setUp(storage);
    meter.createGauge("studio.depth").record(7);
    collector.start();
    await clock.advance(2 * 60 * minute);
    expect([sampled.length, writes]).toEqual([720, 1]);
    await collector.close();
    const closed = store.close();
    await clock.advance(10_000);
    await closed;
  });

  it("keeps no more series than it may, says so once, and leaves room for the server's own", async () => {
    const warnings: unknown[] = [];
    const log = { ...silentLogger, warn: (fields: object) => warnings.push(fields) };
    const { clock, meter, collector, store } = await setUp(noSeriesStorage, 16, log);
    const depth = meter.createGauge("studio.depth");
    for (let i = 0; i < 14; i++) depth.record(i, { queue: String(i) });
    meter.createHistogram("studio.wait", { advice: { explicitBucketBoundaries: [1, 2] } }).record(1);
    collector.start();
    await clock.advance(10_000);
    expect([store.size, collector.refused]).toEqual([12, 7]);
    meter.createHistogram("retake.wait", { advice: { explicitBucketBoundaries: [1] } }).record(1);
    await clock.advance(30_000);
    expect([store.size, collector.refused]).toEqual([16, 7]);
    expect(store.names()).toContain("retake_wait_bucket");
    expect(warnings).toEqual([{ refused: 7, limit: 16 }]);
    await collector.close();
  });

  it("gives what was refused a place when there is room", async () => {
    const { clock, meter, collector, store } = await setUp(noSeriesStorage, 4);
    const gone = ["a", "b", "c"].map((name) => store.series(name, {}, "gauge") as Series);
    for (const series of gone) store.append(series, clock.now(), 1);
    meter.createGauge("studio.depth").record(1);
    collector.start();
    await clock.advance(10_000);
    expect(collector.refused).toBe(1);
    await clock.advance(9 * 60 * minute);
    expect([collector.refused, store.names().includes("studio_depth")]).toEqual([0, true]);
    await collector.close();
  });

  it("leaves out what would be mixed with the samples of another metric, and says so once", async () => {
    const warnings: object[] = [];
    const log = { ...silentLogger, warn: (fields: object) => warnings.push(fields) };
    const { clock, meter, collector, store } = await setUp(noSeriesStorage, 100, log);
    meter.createHistogram("studio.wait", { advice: { explicitBucketBoundaries: [1] } }).record(0.5, { le: "x" });
    meter.createGauge("studio.wait.count").record(7);
    meter.createGauge("studio.waits").record(7);
    collector.start();
    await clock.advance(30_000);
    await collector.close();
    const counts = store.select("studio_wait_count", () => true);
    expect(counts.map(({ kind, labels, lastValue }) => [kind, labels, lastValue])).toEqual([
      ["counter", { exported_le: "x", otel_scope_name: "test" }, 1],
    ]);
    expect(store.select("studio_wait_bucket", () => true).map(({ labels }) => labels)).toEqual([
      { exported_le: "x", otel_scope_name: "test", le: "1" },
      { exported_le: "x", otel_scope_name: "test", le: "+Inf" },
    ]);
    expect([...collector.metrics.keys()]).toEqual(["studio_wait", "studio_waits"]);
    expect(warnings).toEqual([{ metric: "studio.wait.count", meter: "test", name: "studio_wait_count" }]);
  });

  it("keeps what several meters count under one name apart, by their names and versions", async () => {
    const { clock, instruments, provider, collector, store, query } = await setUp();
    // The same object, as a constant of the program may be.
    const attributes = { film: "noir" };
    provider.getMeter("studio").createCounter("takes").add(1, attributes);
    provider.getMeter("archive", "2.0.0").createCounter("takes").add(20, attributes);
    instruments.counter({ name: "takes", unit: "", description: "" }).of().value = 300;
    collector.start();
    await clock.advance(20_000);
    await collector.close();
    const found = store.select("takes_total", () => true).map(({ labels, lastValue }) => [labels, lastValue]);
    expect(found).toEqual([
      [{}, 300],
      [{ film: "noir", otel_scope_name: "studio" }, 1],
      [{ film: "noir", otel_scope_name: "archive", otel_scope_version: "2.0.0" }, 20],
    ]);
    const [archived, ...others] = await query("takes_total", minute, {
      ...{ label: "otel_scope_name", operator: "=", value: "archive" },
    });
    expect([archived?.statistics.latest, others]).toEqual([20, []]);
  });

  it("keeps of a metric of the server's own nothing that others measure under its name, and says so once", async () => {
    const warnings: object[] = [];
    const log = { ...silentLogger, warn: (fields: object) => warnings.push(fields) };
    const { clock, instruments, provider, collector, store } = await setUp(noSeriesStorage, 100, log);
    provider.getMeter("runtime").createGauge("process.memory.usage", { unit: "By" }).record(1);
    provider.getMeter("runtime").createGauge("process.paging", { unit: "By" }).record(1);
    instruments.gauge({ name: "process.memory.usage", unit: "By", description: "" }).of().value = 512;
    collector.start();
    await clock.advance(30_000);
    await collector.close();
    const found = ["process_memory_usage_bytes", "process_paging_bytes"].map((name) =>
      store.select(name, () => true).map(({ labels, lastValue }) => [labels, lastValue]),
    );
    expect(found).toEqual([[[{}, 512]], [[{ otel_scope_name: "runtime" }, 1]]]);
    expect(warnings).toEqual([{ name: "process_memory_usage_bytes", meters: ["runtime"] }]);
  });

  it("goes on when a round fails", async () => {
    const { clock, store, sampled } = await setUp();
    let rounds = 0;
    const collector = new SeriesCollector({
      ...{ clock, store, log: silentLogger, onSampled: async (timeMs: number) => void sampled.push(timeMs) },
      families: new MetricFamilies(silentLogger),
      collect: async () => {
        if (++rounds === 1) throw new Error("an observer threw");
        return { resource: undefined as never, scopeMetrics: [] };
      },
    });
    collector.start();
    await clock.advance(20_000);
    await collector.close();
    expect(sampled).toHaveLength(1);
  });
});

describe("querySeries", () => {
  it("tells of a histogram how much, how often and its quantiles, within the window alone", async () => {
    const { clock, meter, collector, query } = await setUp();
    const histogram = meter.createHistogram("call.duration", {
      unit: "s",
      advice: { explicitBucketBoundaries: [0.1, 1, 10] },
    });
    histogram.record(5, { method: "a" });
    histogram.record(5, { method: "b" });
    collector.start();
    await clock.advance(5 * minute);
    for (let i = 0; i < 6; i++) {
      histogram.record(0.55, { method: "a" });
      await clock.advance(10_000);
    }
    await collector.close();

    const [found, ...others] = await query("call_duration_seconds", minute, {
      label: "method",
      operator: "=",
      value: "a",
    });
    expect(others).toEqual([]);
    expect(found?.labels).toEqual({ method: "a", otel_scope_name: "test" });
    expect(found?.statistics.increase).toBeCloseTo(6, 6);
    expect(found?.statistics.rate).toBeCloseTo(0.1, 6);
    expect(found?.statistics.avg).toBeCloseTo(0.55, 6);
    expect(found?.quantiles?.p50).toBeCloseTo(0.55, 6);
    expect(found?.quantiles?.p99).toBeCloseTo(0.1 + 0.9 * 0.99, 6);
  });

  it.each([
    ["=", "a", ["a"]],
    ["!=", "a", ["ab", "b", ""]],
    ["=~", "a.*", ["a", "ab"]],
    ["!~", "a|b", ["ab", ""]],
    ["=~", "", [""]],
  ] as const)("finds labels that are %s %s", async (operator, value, expected) => {
    const { clock, meter, collector, query } = await setUp();
    const gauge = meter.createGauge("depth");
    for (const queue of ["a", "ab", "b"]) gauge.record(1, { queue });
    gauge.record(1);
    collector.start();
    await clock.advance(10_000);
    await collector.close();
    const found = await query("depth", minute, { label: "queue", operator, value });
    expect(found.map(({ labels }) => labels["queue"] ?? "")).toEqual(expected);
  });

  it("says which label has an expression that is none", async () => {
    const { clock, meter, collector, query } = await setUp();
    meter.createGauge("depth").record(1);
    collector.start();
    await clock.advance(10_000);
    await collector.close();
    await expect(query("depth", minute, { label: "queue", operator: "=~", value: "(" })).rejects.toThrow(/"queue"/);
  });
});
