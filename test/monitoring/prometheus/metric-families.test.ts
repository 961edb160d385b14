import { resourceFromAttributes } from "@opentelemetry/resources";
import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import { describe, expect, it } from "vitest";
import { Instruments } from "../../../src/instruments.ts";
import { exposition } from "../../../src/monitoring/prometheus/exposition.ts";
import { MetricFamilies } from "../../../src/monitoring/prometheus/metric-families.ts";
import { InstrumentsProducer } from "../../../src/monitoring/telemetry/instruments-producer.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";

class ManualReader extends MetricReader {
  protected override async onShutdown(): Promise<void> {}
  protected override async onForceFlush(): Promise<void> {}
}

function setUp() {
  const instruments = new Instruments(10);
  const producer = new InstrumentsProducer({ instruments, clock: createVirtualClock(), version: "1.0.0" });
  const reader = new ManualReader({ metricProducers: [producer] });
  const provider = new MeterProvider({ resource: resourceFromAttributes({}), readers: [reader] });
  const warnings: object[] = [];
  const families = new MetricFamilies({ ...silentLogger, warn: (fields: object) => warnings.push(fields) });
  const lines = async (format: "prometheus" | "openmetrics" = "prometheus"): Promise<string[]> => {
    const { resourceMetrics } = await reader.collect();
    const found = families.of(resourceMetrics.scopeMetrics);
    return [...exposition({ resource: {}, families: found }, format)].join("").split("\n").slice(0, -1);
  };
  return { instruments, provider, warnings, lines };
}

describe("MetricFamilies", () => {
  it("has what several meters call the same under one type, with what tells them apart", async () => {
    const { instruments, provider, warnings, lines } = setUp();
    // The same object, as a constant of the program may be.
    const attributes = { film: "noir" };
    provider.getMeter("studio").createCounter("takes", { description: "Takes." }).add(1, attributes);
    provider.getMeter("between").createGauge("depth").record(4);
    provider.getMeter("archive", "2.0.0").createCounter("takes", { description: "Films." }).add(2, attributes);
    const schemaUrl = "https://films.test/1";
    provider.getMeter("archive", "2.0.0", { schemaUrl }).createCounter("takes").add(3);
    instruments.counter({ name: "takes", unit: "", description: "All." }).of().value = 5;
    expect(await lines()).toEqual([
      "# HELP takes_total All.",
      "# TYPE takes_total counter",
      "takes_total 5",
      'takes_total{film="noir",otel_scope_name="studio"} 1',
      'takes_total{film="noir",otel_scope_name="archive",otel_scope_version="2.0.0"} 2',
      `takes_total{otel_scope_name="archive",otel_scope_version="2.0.0",otel_scope_schema_url="${schemaUrl}"} 3`,
      "# HELP depth depth",
      "# TYPE depth gauge",
      'depth{otel_scope_name="between"} 4',
    ]);
    expect(warnings).toEqual([]);
  });

  it("has histograms of several meters, each with its buckets", async () => {
    const { provider, lines } = setUp();
    for (const [name, bound] of [
      ["studio", 1],
      ["archive", 2],
    ] as const) {
      const advice = { explicitBucketBoundaries: [bound] };
      provider.getMeter(name).createHistogram("wait", { unit: "s", advice }).record(bound, { queue: "a" });
    }
    const part = (scope: string, one: string): string[] => [
      `wait_seconds_bucket{queue="a",otel_scope_name="${scope}",le="${one}.0"} 1`,
      `wait_seconds_bucket{queue="a",otel_scope_name="${scope}",le="+Inf"} 1`,
      `wait_seconds_sum{queue="a",otel_scope_name="${scope}"} ${one}`,
      `wait_seconds_count{queue="a",otel_scope_name="${scope}"} 1`,
    ];
    expect(await lines("openmetrics")).toEqual([
      "# HELP wait_seconds wait_seconds",
      "# TYPE wait_seconds histogram",
      "# UNIT wait_seconds seconds",
      ...part("studio", "1"),
      ...part("archive", "2"),
      "# EOF",
    ]);
  });

  it("leaves out what is of another kind than the first of its name, for ever, and says so once", async () => {
    const { provider, warnings, lines } = setUp();
    // Meters are told in the order in which they were made.
    const early = provider.getMeter("early");
    provider.getMeter("studio").createUpDownCounter("takes_total").add(1);
    const first = ["# HELP takes takes", "# TYPE takes gauge", 'takes{otel_scope_name="studio"} 1'];
    expect(await lines()).toEqual(first);
    early.createCounter("takes").add(2);
    early.createHistogram("takes").record(2);
    expect(await lines()).toEqual(first);
    expect(await lines()).toEqual(first);
    expect(warnings).toEqual(["takes_total", "takes"].map((name) => ({ metric: "takes", meter: "early", name })));
  });

  it("leaves out a second metric that one meter has by the same name in Prometheus, and says so once", async () => {
    const { instruments, provider, warnings, lines } = setUp();
    for (const name of ["a.b", "a_b"]) {
      provider.getMeter("studio").createCounter(name).add(1);
      instruments.counter({ name, unit: "", description: "" }).of().value = 2;
    }
    const counted = (await lines()).filter((line) => line.startsWith("a_b_total"));
    await lines();
    expect(counted).toEqual(["a_b_total 2", 'a_b_total{otel_scope_name="studio"} 1']);
    expect(warnings).toEqual([
      { metric: "a_b", name: "a_b_total" },
      { metric: "a_b", meter: "studio", name: "a_b_total" },
    ]);
  });

  it("shows the unit of the first, and says so once", async () => {
    const { provider, warnings, lines } = setUp();
    provider.getMeter("studio").createGauge("wait", { unit: "s" }).record(1);
    provider.getMeter("archive").createGauge("wait_seconds").record(2);
    const expected = [
      "# HELP wait_seconds wait_seconds",
      "# TYPE wait_seconds gauge",
      "# UNIT wait_seconds seconds",
      'wait_seconds{otel_scope_name="studio"} 1',
      'wait_seconds{otel_scope_name="archive"} 2',
      "# EOF",
    ];
    expect(await lines("openmetrics")).toEqual(expected);
    expect(await lines("openmetrics")).toEqual(expected);
    expect(warnings).toEqual([
      { metric: "wait_seconds", meter: "archive", name: "wait_seconds", unit: "", shownUnit: "s" },
    ]);
  });

  it("lets no attribute be taken for the name of a meter, nor a meter for the server", async () => {
    const { instruments, provider, lines } = setUp();
    const takes = instruments.counter({ name: "takes", unit: "", description: "" });
    takes.with({ "otel.scope.name": "studio" }).value = 1;
    provider.getMeter("studio").createCounter("takes").add(2);
    provider.getMeter("retake", "1.0.0").createCounter("takes").add(3);
    expect((await lines()).slice(2)).toEqual([
      'takes_total{exported_otel_scope_name="studio"} 1',
      'takes_total{otel_scope_name="studio"} 2',
      'takes_total{otel_scope_name="retake",otel_scope_version="1.0.0"} 3',
    ]);
  });
});
