import { metrics } from "@opentelemetry/api";
import { expect, it, onTestFinished, vi } from "vitest";
import { Instruments } from "../../../src/instruments.ts";
import { InstrumentsProducer } from "../../../src/monitoring/telemetry/instruments-producer.ts";
import { Meters } from "../../../src/monitoring/telemetry/meter-provider.ts";
import { ownResource } from "../../../src/monitoring/telemetry/resource.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";

it("Meters waits a while for what others measure, and tells the rest without it", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const instruments = new Instruments(10);
  instruments.counter({ name: "retake.runs.started", unit: "{run}", description: "" }).of().value = 3;
  const producer = new InstrumentsProducer({ instruments, clock: createVirtualClock(), version: "1.2.3" });
  const meters = new Meters({ resource: ownResource("1.2.3"), cardinalityLimit: 10, producer, redact: (text) => text });
  onTestFinished(() => meters.close());
  metrics
    .getMeter("studio")
    .createObservableGauge("studio.stuck")
    .addCallback(() => new Promise(() => {}));
  metrics.getMeter("studio").createCounter("studio.frames").add(2);
  const errors: unknown[] = [];
  const collected = meters.collect((error) => errors.push(error));
  await vi.advanceTimersByTimeAsync(5_000);
  const { scopeMetrics } = await collected;
  const found = scopeMetrics.flatMap((scope) => scope.metrics.map(({ descriptor: { name } }) => name));
  expect(found.sort()).toEqual(["retake.runs.started", "studio.frames"]);
  expect(errors).toHaveLength(1);
});
