import { existsSync } from "node:fs";
import { join } from "node:path";
import { metrics } from "@opentelemetry/api";
import { describe, expect, it, onTestFinished } from "vitest";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { Instruments } from "../../src/instruments.ts";
import { type LabelMatcher, querySeries } from "../../src/monitoring/index.ts";
import { silentLogger } from "../../src/runs/index.ts";
import { type Monitoring, startMonitoring } from "../../src/server/start-monitoring.ts";
import { createVirtualClock, type VirtualClock } from "../../src/testing/virtual-clock.ts";
import { temporaryDirectory } from "../runs/sqlite/temporary-directory.ts";

interface StartOptions {
  readonly clock?: VirtualClock;
  readonly directory?: string;
  readonly ownsData?: boolean;
  readonly onSampled?: (timeMs: number) => void;
  readonly monitored?: boolean;
}

async function start(options: StartOptions = {}) {
  const { clock = createVirtualClock(), directory = temporaryDirectory(), ownsData = true, monitored = true } = options;
  const instruments = new Instruments(100);
  const counter = instruments.counter({ name: "retake.runs.started", unit: "{run}", description: "Runs." });
  const monitoring = await startMonitoring({
    config: {
      dataDirectory: directory,
      telemetry: {
        ...{ metricsEndpoint: false, metricsLevel: AccessLevel.PUBLIC, cardinalityLimit: 100, spansPerSecond: 100 },
      },
      ...(monitored && { monitoring: { series: { limit: 300 } } }),
    },
    ...{ instruments, ownsData, clock, log: silentLogger, redact: (text: string) => text },
    ...(options.onSampled && { onSampled: options.onSampled }),
  });
  onTestFinished(() => monitoring.close().catch(() => undefined));
  return { clock, directory, counter, monitoring };
}

async function latest({ series }: Monitoring, clock: VirtualClock, name: string, ...matchers: LabelMatcher[]) {
  const metric = series?.collector.metrics.get(name);
  if (series === undefined || metric === undefined) return undefined;
  const window = { afterMs: clock.now() - 60_000, untilMs: clock.now() };
  const [found] = await querySeries(series.store, clock.now(), { metric, matchers, ...window });
  return found?.statistics.latest;
}

describe("startMonitoring", () => {
  it("samples each ten seconds what our instruments count, and tells when that is done", async () => {
    const sampled: number[] = [];
    const { clock, counter, monitoring } = await start({ onSampled: (timeMs) => sampled.push(timeMs) });
    counter.of().value = 3;
    await clock.advance(10_000);
    expect(sampled).toHaveLength(1);
    expect(await latest(monitoring, clock, "retake_runs_started_total")).toBe(3);
    counter.of().value = 8;
    await clock.advance(20_000);
    expect(sampled).toHaveLength(3);
    expect(await latest(monitoring, clock, "retake_runs_started_total")).toBe(8);
  });

  it("samples what others measure by OpenTelemetry's API, up to the limit of series", async () => {
    const { clock, monitoring } = await start();
    const frames = metrics.getMeter("studio").createCounter("studio.frames", { unit: "{frame}" });
    for (let shot = 0; shot < 150; shot++) frames.add(2, { shot });
    await clock.advance(10_000);
    expect(await latest(monitoring, clock, "studio_frames_total", { label: "shot", operator: "=", value: "7" })).toBe(
      2,
    );
    const overflow = { label: "otel_metric_overflow", operator: "=", value: "true" } as const;
    expect(await latest(monitoring, clock, "studio_frames_total", overflow)).toBe(102);
  });

  it("leaves the meters of the process to the next server when it is closed", async () => {
    const first = await start();
    await first.monitoring.close();
    const { clock, monitoring } = await start();
    metrics.getMeter("studio").createGauge("studio.queue").record(4);
    await clock.advance(10_000);
    expect(await latest(monitoring, clock, "studio_queue")).toBe(4);
  });

  it("keeps series over a restart where the data directory is its own", async () => {
    const { clock, directory, counter, monitoring } = await start();
    counter.of().value = 3;
    await clock.advance(60_000);
    await monitoring.close();
    expect(existsSync(join(directory, "series.sqlite"))).toBe(true);
    const again = await start({ clock, directory });
    expect(again.monitoring.series?.store.names()).toContain("retake_runs_started_total");
  });

  it("writes nothing where it is not", async () => {
    const { clock, directory, monitoring, counter } = await start({ ownsData: false });
    counter.of().value = 3;
    await clock.advance(60_000);
    await monitoring.close();
    expect(existsSync(join(directory, "series.sqlite"))).toBe(false);
  });

  it("measures, and keeps nothing, where that is configured", async () => {
    const { counter, monitoring } = await start({ monitored: false });
    counter.of().value = 3;
    expect(monitoring.series).toBeUndefined();
    const { scopeMetrics } = await monitoring.meters.collect(() => undefined);
    const found = scopeMetrics.flatMap(({ metrics }) => metrics).map(({ descriptor }) => descriptor.name);
    expect(found).toContain("retake.runs.started");
  });
});
