import { describe, expect, it } from "vitest";
import { Instruments } from "../src/instruments.ts";
import { UserMetrics } from "../src/user-metrics.ts";

function throwing(error: unknown): never {
  throw error;
}

function start({ limit = 10, redact = String }: { limit?: number; redact?: (text: string) => string } = {}) {
  const instruments = new Instruments(limit);
  const refused: [string, string][] = [];
  const own = new UserMetrics(instruments, (error, name) => refused.push([name, (error as Error).message]), redact);
  /** Every series: its metric, its attributes, its value or the counts of its buckets. */
  const series = () =>
    instruments
      .collect(throwing)
      .flatMap((family) =>
        Array.from(family.cells() as Iterable<{ attributes: object; value?: number; counts?: number[] }>, (cell) => [
          family.description.name,
          cell.attributes,
          cell.value ?? cell.counts,
        ]),
      );
  return { own, refused, series };
}

const record = { name: "studio.frames", kind: "counter" as const, value: 1, attributes: {} };

describe("UserMetrics", () => {
  it("adds, sets and observes, each series by its attributes in any order", () => {
    const { own, series, refused } = start();
    const frames = own.counter("studio.frames", { unit: "{frame}" });
    frames.add(2, { style: "noir", wide: true });
    frames.add(3, { wide: true, style: "noir" });
    frames.add(1);
    own.gauge("studio.depth").record(7);
    own.gauge("studio.depth").record(4);
    const took = own.histogram("studio.took", { unit: "s", bounds: [1, 2] });
    for (const value of [0.5, 1.5, 9]) took.record(value);
    expect(series()).toEqual([
      ["studio.frames", { style: "noir", wide: "true" }, 5],
      ["studio.frames", {}, 1],
      ["studio.depth", {}, 4],
      ["studio.took", {}, [1, 1, 1]],
    ]);
    expect(refused).toEqual([]);
  });

  it("counts in one series what comes beyond the limit of series", () => {
    const { own, series } = start({ limit: 2 });
    for (const id of ["a", "b", "c", "d"]) own.counter("studio.frames").add(1, { id });
    expect(series().at(-1)).toEqual(["studio.frames", { "otel.metric.overflow": true }, 2]);
  });

  it("takes all records or none", () => {
    const { own, series } = start();
    const wrong = { ...record, kind: "gauge" as const };
    expect(() => own.record([record, { ...record, name: "studio.other" }, wrong])).toThrow(
      "the metric studio.frames exists, and has the kind counter",
    );
    expect(series()).toEqual([]);
    own.record([record, record]);
    expect(series()).toEqual([["studio.frames", {}, 2]]);
  });

  it.each([
    ["INVALID_METRIC", { name: "retake.runs.started" }, /are the server's own/],
    ["INVALID_METRIC", { name: "process_cpu" }, /are the server's own/],
    ["INVALID_METRIC", { name: "9lives" }, /is no name of a metric/],
    ["INVALID_METRIC", { unit: "a b" }, /the unit of studio.x/],
    ["INVALID_METRIC", { value: -1 }, /takes a finite number from 0 on, not -1/],
    ["INVALID_METRIC", { kind: "gauge", value: Number.NaN }, /takes a finite number, not NaN/],
    ["INVALID_METRIC", { kind: "histogram", bounds: [1, 1] }, /must ascend/],
    ["METRIC_MISMATCH", { name: "studio_frames" }, /has the name studio.frames, which is the same in Prometheus/],
    ["METRIC_MISMATCH", { name: "studio.frames", unit: "s" }, /has the unit \{frame\}/],
    ["METRIC_MISMATCH", { name: "studio.took", kind: "histogram", bounds: [3] }, /has the bounds 1, 2/],
  ])("refuses as %s what cannot be taken: %o", (reason, given, message) => {
    const { own } = start();
    own.counter("studio.frames", { unit: "{frame}" }).add(1);
    own.histogram("studio.took", { bounds: [1, 2] }).record(1);
    const call = () => own.record([{ ...record, name: "studio.x", ...given } as typeof record]);
    expect(call).toThrow(expect.objectContaining({ reason, message: expect.stringMatching(message) }));
  });

  it("has room for 200 metrics", () => {
    const { own } = start();
    for (let i = 0; i < 200; i++) own.record([{ ...record, name: `studio.m${i}` }]);
    expect(() => own.record([record])).toThrow(expect.objectContaining({ reason: "TOO_MANY_METRICS" }));
    own.record([{ ...record, name: "studio.m7" }]);
  });

  it("leaves out what a handler gets wrong, and tells of it once", () => {
    const { own, refused, series } = start();
    for (let i = 0; i < 3; i++) own.counter("studio.frames").add(-1);
    own.gauge("retake.health").record(1);
    expect(refused.map(([name]) => name)).toEqual(["studio.frames", "retake.health"]);
    expect(series()).toEqual([]);
  });

  it("keeps nothing of what must not be told, however long the text is that has it", () => {
    const redact = (text: string): string => text.replace(/ann@example\.org/g, "[email]");
    const { own, series, refused } = start({ redact });
    const about = { description: "Of ann@example.org." };
    own.counter("studio.frames", about).add(1, { who: "ann@example.org" });
    own.counter("studio.frames", about).add(2, { who: "[email]", "ann@example.org": true });
    own.counter("studio.frames", about).add(4, { who: `${"x".repeat(250)} ann@example.org` });
    own.record([{ ...record, value: 8, attributes: { who: "ann@example.org" } }]);
    expect(series()).toEqual([
      ["studio.frames", { who: "[email]" }, 9],
      ["studio.frames", { "[email]": "true", who: "[email]" }, 2],
      ["studio.frames", { who: `${"x".repeat(250)} [emai` }, 4],
    ]);
    expect(refused).toEqual([]);
  });

  it("refuses names that have what must not be told", () => {
    const { own, refused } = start({ redact: (text) => text.replace("4111111111111111", "[card]") });
    own.counter("of-4111111111111111").add(1);
    expect(refused).toEqual([["of-4111111111111111", expect.stringContaining("looks like a credential or personal")]]);
  });

  it("does nothing where nothing is measured", () => {
    const own = new UserMetrics(undefined, throwing, String);
    own.counter("studio.frames").add(1);
    expect(own.enabled).toBe(false);
  });
});
