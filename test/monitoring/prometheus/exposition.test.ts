import { resourceFromAttributes } from "@opentelemetry/resources";
import { describe, expect, it } from "vitest";
import { Instruments } from "../../../src/instruments.ts";
import { acceptsGzip, chooseFormat } from "../../../src/monitoring/prometheus/choose-format.ts";
import { type ExpositionFormat, exposition } from "../../../src/monitoring/prometheus/exposition.ts";
import { MetricFamilies } from "../../../src/monitoring/prometheus/metric-families.ts";
import { InstrumentsProducer } from "../../../src/monitoring/telemetry/instruments-producer.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { UserMetrics } from "../../../src/user-metrics.ts";

async function textOf(instruments: Instruments, format: ExpositionFormat): Promise<string> {
  const producer = new InstrumentsProducer({ instruments, clock: createVirtualClock(), version: "1.0.0" });
  const { resourceMetrics } = await producer.collect();
  const families = new MetricFamilies(silentLogger).of(resourceMetrics.scopeMetrics);
  const { attributes: resource } = resourceFromAttributes({ "service.name": "films" });
  return [...exposition({ resource, families }, format)].join("");
}

function example(): Instruments {
  const instruments = new Instruments(10);
  const runs = instruments.counter({
    ...{ name: "retake.runs.started", unit: "{run}", attributes: ["retake.workflow"] },
    description: 'Runs "accepted"\\so far.',
  });
  runs.of('a "b"\\\n').value = 3;
  const duration = instruments.histogram(
    { name: "retake.run.duration", unit: "s", description: "How long." },
    [0.5, 1],
  );
  duration.of().record(0.25, 1_500, "a1".repeat(16), "run-1");
  duration.of().record(7);
  instruments.observed("gauge", { name: "nodejs.eventloop.utilization", unit: "1", description: "" }, (set) =>
    set(0.5),
  );
  return instruments;
}

describe("exposition", () => {
  it("writes the text format", async () => {
    expect(await textOf(example(), "prometheus")).toBe(
      [
        "# HELP target_info What is measured.",
        "# TYPE target_info gauge",
        'target_info{service_name="films"} 1',
        '# HELP retake_runs_started_total Runs "accepted"\\\\so far.',
        "# TYPE retake_runs_started_total counter",
        'retake_runs_started_total{retake_workflow="a \\"b\\"\\\\\\n"} 3',
        "# HELP retake_run_duration_seconds How long.",
        "# TYPE retake_run_duration_seconds histogram",
        'retake_run_duration_seconds_bucket{le="0.5"} 1',
        'retake_run_duration_seconds_bucket{le="1"} 1',
        'retake_run_duration_seconds_bucket{le="+Inf"} 2',
        "retake_run_duration_seconds_sum 7.25",
        "retake_run_duration_seconds_count 2",
        "# HELP nodejs_eventloop_utilization_ratio nodejs_eventloop_utilization_ratio",
        "# TYPE nodejs_eventloop_utilization_ratio gauge",
        "nodejs_eventloop_utilization_ratio 0.5",
        "",
      ].join("\n"),
    );
  });

  it("writes OpenMetrics, with families without _total, units, and exemplars", async () => {
    const lines = (await textOf(example(), "openmetrics")).split("\n");
    expect(lines).toContain("# TYPE target info");
    expect(lines).toContain("# TYPE retake_runs_started counter");
    expect(lines).toContain('# HELP retake_runs_started Runs \\"accepted\\"\\\\so far.');
    expect(lines).toContain("# UNIT retake_run_duration_seconds seconds");
    const exemplar = `# {trace_id="${"a1".repeat(16)}",run_id="run-1"} 0.25 1.5`;
    expect(lines).toContain(`retake_run_duration_seconds_bucket{le="0.5"} 1 ${exemplar}`);
    expect(lines).toContain('retake_run_duration_seconds_bucket{le="1.0"} 1');
    expect(lines.slice(-2)).toEqual(["# EOF", ""]);
  });

  it("leaves out a second metric that has the same name in Prometheus", async () => {
    const instruments = new Instruments(10);
    instruments.counter({ name: "a.b", unit: "", description: "" }).of().value = 1;
    instruments.counter({ name: "a_b", unit: "", description: "" }).of().value = 2;
    const text = await textOf(instruments, "prometheus");
    expect(text.split("\n").filter((line) => line.startsWith("a_b_total"))).toEqual(["a_b_total 1"]);
  });

  it.each(["prometheus", "openmetrics"] as const)(
    "cannot be broken by what users name things, in %s",
    async (format) => {
      const refused: string[] = [];
      const instruments = new Instruments(10);
      const users = new UserMetrics(instruments, (_, name) => refused.push(name), String);
      users.histogram("studio.h", { bounds: [1] }).record(2, { le: "x", _: "a", 色: "b" });
      users.gauge("studio.h.count").record(7);
      users.gauge("studio.g").record(1, { quantile: "0.5", "": "\n" });
      users.histogram("studio.endless", { bounds: [1, Number.POSITIVE_INFINITY] }).record(1);
      const lines = (await textOf(instruments, format)).split("\n").filter((line) => line.startsWith("studio_"));
      const one = format === "openmetrics" ? "1.0" : "1";
      expect(lines).toEqual([
        `studio_h_bucket{unnamed="a;b",exported_le="x",le="${one}"} 0`,
        'studio_h_bucket{unnamed="a;b",exported_le="x",le="+Inf"} 1',
        'studio_h_sum{unnamed="a;b",exported_le="x"} 2',
        'studio_h_count{unnamed="a;b",exported_le="x"} 1',
        'studio_g{unnamed="\\n",exported_quantile="0.5"} 1',
      ]);
      expect(refused).toEqual(["studio.endless"]);
    },
  );
});

describe("chooseFormat", () => {
  it.each<[string, ExpositionFormat]>([
    ["", "prometheus"],
    ["*/*", "prometheus"],
    ["text/html, */*;q=0.8", "prometheus"],
    ["application/openmetrics-text", "openmetrics"],
    ["application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", "openmetrics"],
    ["application/openmetrics-text; version=1.0.0; q=0.1, text/plain; q=0.9", "prometheus"],
    ["application/openmetrics-text;version=2.0.0", "prometheus"],
    ["application/openmetrics-text;q=0", "prometheus"],
  ])("answers %j by %s", (accept, format) => {
    expect(chooseFormat(accept)).toBe(format);
  });

  it.each([
    ["gzip, deflate", true],
    ["br;q=1, GZIP;q=0.5", true],
    ["gzip;q=0", false],
    ["", false],
  ])("compresses for %j: %s", (accept, compressed) => {
    expect(acceptsGzip(accept)).toBe(compressed);
  });
});
