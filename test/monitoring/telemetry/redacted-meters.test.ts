import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Meter } from "@opentelemetry/api";
import { emptyResource } from "@opentelemetry/resources";
import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import { describe, expect, it } from "vitest";
import { redactedMeters } from "../../../src/monitoring/telemetry/redacted-meters.ts";
import { createTextRedactor, remembering } from "../../../src/security/index.ts";
import { until } from "../../until.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

class Reader extends MetricReader {
  protected override async onShutdown(): Promise<void> {}
  protected override async onForceFlush(): Promise<void> {}
}

function meters(personalData: "pseudonymize" | "redact" = "pseudonymize") {
  const reader = new Reader();
  const key = new Uint8Array(32).fill(7);
  const { text } = remembering(createTextRedactor({ personalData, key }));
  const provider = redactedMeters(new MeterProvider({ resource: emptyResource(), readers: [reader] }), text);
  /** What is read: each metric's name, with attributes and values. */
  const read = async () => {
    const { resourceMetrics, errors } = await reader.collect();
    expect(errors).toEqual([]);
    return resourceMetrics.scopeMetrics.flatMap(({ metrics }) =>
      metrics.map(({ descriptor, dataPoints }) => ({
        ...{ name: descriptor.name, description: descriptor.description },
        points: dataPoints.map(({ attributes, value }) => [attributes, value]),
      })),
    );
  };
  return { meter: provider.getMeter("studio"), read };
}

const mail = "planted.person@example.org";
const email = expect.stringMatching(/^email:[0-9a-f]{16}$/);

describe("redactedMeters", () => {
  const synchronous: [kind: string, measure: (meter: Meter, attributes: object) => void][] = [
    ["a counter", (meter, attributes) => meter.createCounter("studio.it").add(1, { ...attributes })],
    ["an up-down counter", (meter, attributes) => meter.createUpDownCounter("studio.it").add(1, { ...attributes })],
    ["a gauge", (meter, attributes) => meter.createGauge("studio.it").record(1, { ...attributes })],
    ["a histogram", (meter, attributes) => meter.createHistogram("studio.it").record(1, { ...attributes })],
    [
      "an observable counter",
      (meter, attributes) =>
        meter.createObservableCounter("studio.it").addCallback((result) => result.observe(1, { ...attributes })),
    ],
    [
      "an observable up-down counter",
      (meter, attributes) =>
        meter.createObservableUpDownCounter("studio.it").addCallback((result) => result.observe(1, { ...attributes })),
    ],
    [
      "an observable gauge",
      (meter, attributes) =>
        meter.createObservableGauge("studio.it").addCallback((result) => result.observe(1, { ...attributes })),
    ],
    [
      "a batch of observables",
      (meter, attributes) => {
        const gauge = meter.createObservableGauge("studio.it");
        meter.addBatchObservableCallback((result) => result.observe(gauge, 1, { ...attributes }), [gauge]);
      },
    ],
  ];
  it.each(synchronous)("takes personal data and credentials out of what %s is told apart by", async (_, measure) => {
    const { meter, read } = meters();
    measure(meter, {
      ...{ who: mail, card: 4111111111111111, from: "192.0.2.7", token: "Bearer abcdefghijklmnop0123456789" },
      ...{ list: ["a", mail], [mail]: "x", shot: 7, done: true, style: "noir" },
    });
    const [metric] = await read();
    const told = metric?.points[0]?.[0] as object;
    expect(told).toMatchObject({ who: email, list: ["a", email], shot: 7, done: true, style: "noir" });
    expect(JSON.stringify(told)).not.toMatch(/planted|411111|192\.0|abcdef/);
    expect(Object.keys(told)).toHaveLength(9);
  });

  it("counts what becomes one as one", async () => {
    const { meter, read } = meters("redact");
    const counter = meter.createCounter("studio.frames", { description: `As ${mail} asked.` });
    counter.add(1, { who: "a@example.org" });
    counter.add(2, { who: "b@example.org" });
    counter.add(4);
    const [metric] = await read();
    expect(metric?.points.map(([, value]) => value).sort()).toEqual([3, 4]);
    expect(metric?.description).not.toContain("planted");
  });

  it("takes callbacks back", async () => {
    const { meter, read } = meters();
    const gauge = meter.createObservableGauge("studio.depth");
    const other = meter.createObservableGauge("studio.other");
    let calls = 0;
    const callback = () => void calls++;
    gauge.addCallback(callback);
    meter.addBatchObservableCallback(callback, [gauge, other]);
    await read();
    expect(calls).toBe(2);
    gauge.removeCallback(callback);
    meter.removeBatchObservableCallback(callback, [gauge, other]);
    gauge.removeCallback(callback);
    await read();
    expect(calls).toBe(2);
  });

  it("keeps no callback of a batch that has been taken back, and that nobody has any more", async () => {
    const { meter } = meters();
    const gauge = meter.createObservableGauge("studio.heat");
    const given = (() => {
      const callback = () => undefined;
      meter.addBatchObservableCallback(callback, [gauge]);
      meter.removeBatchObservableCallback(callback, [gauge]);
      return new WeakRef(callback);
    })();
    // What has been looked at is kept until the task ends.
    await until(() => {
      collectGarbage();
      return given.deref() === undefined;
    });
    // In use up to here, with whatever they keep.
    meter.addBatchObservableCallback(() => undefined, [gauge]);
  });

  it("takes what must not be told out of what meters are told apart by", () => {
    const asked: unknown[] = [];
    const getMeter = (...meter: unknown[]): Meter => {
      asked.push(meter);
      return {} as Meter;
    };
    const provider = { getMeter };
    const shown = redactedMeters(provider, (text) => text.replace("secret", "-"));
    shown.getMeter("studio secret", "1 secret", { schemaUrl: "https://secret.test" });
    shown.getMeter("studio");
    expect(asked).toEqual([
      ["studio -", "1 -", { schemaUrl: "https://-.test" }],
      ["studio", undefined, undefined],
    ]);
  });

  it("tells what there is nothing in with the very attributes that were given", () => {
    const given: unknown[] = [];
    const add = (_: number, attributes: unknown) => given.push(attributes);
    const provider = { getMeter: () => ({ createCounter: () => ({ add }) }) as unknown as Meter };
    const attributes = { style: "noir", shot: 7, list: undefined };
    redactedMeters(provider, (text) => text)
      .getMeter("studio")
      .createCounter("studio.frames")
      .add(1, attributes);
    expect(given[0]).toBe(attributes);
  });
});
