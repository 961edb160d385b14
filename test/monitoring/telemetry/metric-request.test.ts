import { ValueType } from "@opentelemetry/api";
import { ProtobufMetricsSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { MeterProvider, type MetricProducer, MetricReader, type ResourceMetrics } from "@opentelemetry/sdk-metrics";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Instruments } from "../../../src/instruments.ts";
import { InstrumentsProducer } from "../../../src/monitoring/telemetry/instruments-producer.ts";
import { metricRequest } from "../../../src/monitoring/telemetry/metric-request.ts";
import { attemptSpanId, runSpanId } from "../../../src/span-ids.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { exemplarsIn } from "../../server/otlp-receiver.ts";

class Reader extends MetricReader {
  protected override async onShutdown(): Promise<void> {}
  protected override async onForceFlush(): Promise<void> {}
}

/** What the SDK's own meters and our instruments count. */
async function collected(count: (instruments: Instruments, meters: MeterProvider) => void): Promise<ResourceMetrics> {
  const instruments = new Instruments(100);
  const producer: MetricProducer = new InstrumentsProducer({
    ...{ instruments, version: "1.2.3" },
    clock: createVirtualClock(),
  });
  const reader = new Reader({ metricProducers: [producer] });
  const meters = new MeterProvider({
    resource: resourceFromAttributes({ "service.name": "films" }),
    readers: [reader],
  });
  count(instruments, meters);
  return (await reader.collect()).resourceMetrics;
}

const all = { hasRunSpans: true, sinceMs: Number.NEGATIVE_INFINITY };

const value = fc.oneof(fc.double({ noNaN: true }), fc.maxSafeNat());
const attributes = fc.dictionary(
  fc.string({ minLength: 1 }),
  fc.oneof(fc.string(), fc.maxSafeInteger(), fc.boolean()),
  {
    maxKeys: 3,
  },
);

describe("a request of metrics", () => {
  it("is what OpenTelemetry's own code makes of the same metrics, where there are no exemplars", async () => {
    const property = fc.asyncProperty(
      fc.array(fc.tuple(attributes, value, fc.maxSafeInteger()), { maxLength: 4 }),
      fc.string(),
      async (measured, description) => {
        const metrics = await collected((instruments, meters) => {
          const runs = instruments.counter({ name: "runs", unit: "{run}", description, attributes: ["kind"] });
          const duration = instruments.histogram({ name: "duration", unit: "s", description }, [0.5, 1]);
          instruments.observed("up_down_counter", { name: "open", unit: "", description }, (set) => set(2.5));
          const meter = meters.getMeter("studio", measured.length > 2 ? "2.0.0" : "", { schemaUrl: description });
          const frames = meter.createUpDownCounter("frames", { valueType: ValueType.INT });
          const sizes = meter.createHistogram("sizes", { unit: "By", description });
          const level = meter.createGauge("level");
          for (const [i, [of, number, whole]] of measured.entries()) {
            runs.of(`kind ${i}`).value = number;
            duration.of().record(Math.abs(number));
            frames.add(whole, of);
            sizes.record(Math.abs(number), of);
            level.record(number, of);
          }
        });
        const expected = ProtobufMetricsSerializer.serializeRequest(metrics);
        expect(Buffer.from(metricRequest(metrics, all)).toString("hex")).toBe(
          Buffer.from(expected ?? []).toString("hex"),
        );
      },
    );
    await fc.assert(property, { numRuns: 60 });
  });

  it("has exemplars, each with the span that it was, its run, and when", async () => {
    const traceId = "a1".repeat(16);
    const metrics = await collected((instruments) => {
      const cell = instruments.histogram({ name: "duration", unit: "s", description: "" }, [1, 2, 3, 4]).of();
      cell.record(0.5, 1_500.25, traceId, "run-1");
      cell.record(1.5, 2_000, traceId, "run-1", "", 2);
      cell.record(2.5, 3_000, traceId, "run-2", "b7ad6b7169203331");
      cell.record(3.5, 4_000, "", "run-3", "", 1);
      cell.record(9);
    });
    const exemplar = (value: number, timeMs: number, spanId: string, runId: string, of = traceId) => ({
      ...{ metric: "duration", value, timeMs, traceId: of, spanId, attributes: { "retake.run.id": runId } },
    });
    const exemplars = [
      exemplar(0.5, 1_500.25, runSpanId("run-1"), "run-1"),
      exemplar(1.5, 2_000, attemptSpanId("run-1", 2), "run-1"),
      exemplar(2.5, 3_000, "b7ad6b7169203331", "run-2"),
      exemplar(3.5, 4_000, "", "run-3", ""),
    ];
    expect(exemplarsIn(metricRequest(metrics, all))).toEqual(exemplars);
    expect(exemplarsIn(metricRequest(metrics, { ...all, sinceMs: 3_000 }))).toEqual(exemplars.slice(2));
    // Those whose runs have no spans lead to their caller's trace.
    expect(exemplarsIn(metricRequest(metrics, { ...all, hasRunSpans: false })).map(({ spanId }) => spanId)).toEqual([
      ...["", "", "b7ad6b7169203331", ""],
    ]);
  });
});
