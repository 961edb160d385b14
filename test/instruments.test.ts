import { describe, expect, it } from "vitest";
import { Instruments, type MetricFamily } from "../src/instruments.ts";

const runs = { name: "runs", unit: "{run}", description: "Runs.", attributes: ["workflow", "state"] };

function throwing(error: unknown): never {
  throw error;
}

/** Attributes and values of the only metric. */
function seriesOf(instruments: Instruments) {
  const [family] = instruments.collect(throwing) as readonly [MetricFamily];
  return Array.from(family.cells() as Iterable<{ attributes: object; value?: number; counts?: number[] }>, (cell) => [
    cell.attributes,
    cell.value ?? cell.counts,
  ]);
}

describe("Instruments", () => {
  it("has one series for the same values, with the same attributes each time", () => {
    const instruments = new Instruments(10);
    const counter = instruments.counter(runs);
    counter.of("a", "FAILED").value += 2;
    counter.of("a", "FAILED").value += 1;
    counter.of("a", "").value += 5;
    expect(seriesOf(instruments)).toEqual([
      [{ workflow: "a", state: "FAILED" }, 3],
      [{ workflow: "a" }, 5],
    ]);
    expect(counter.of("a", "FAILED").attributes).toBe(counter.of("a", "FAILED").attributes);
  });

  it("counts in one series what comes beyond the limit", () => {
    const instruments = new Instruments(2);
    const counter = instruments.counter({ ...runs, attributes: ["workflow"] });
    for (const name of ["a", "b", "c", "d", "a"]) counter.of(name).value += 1;
    expect(seriesOf(instruments)).toEqual([
      [{ workflow: "a" }, 2],
      [{ workflow: "b" }, 1],
      [{ "otel.metric.overflow": true }, 2],
    ]);
  });

  it("asks for observed values each time, adds up those beyond the limit, and lets go what is not told", () => {
    const instruments = new Instruments(1);
    let told: [number, string][] = [];
    instruments.observed("gauge", { ...runs, attributes: ["workflow"] }, (set) => {
      for (const [value, workflow] of told) set(value, workflow);
    });
    told = [
      [1, "a"],
      [2, "b"],
      [3, "c"],
    ];
    const both = [
      [{ workflow: "a" }, 1],
      [{ "otel.metric.overflow": true }, 5],
    ];
    expect(seriesOf(instruments)).toEqual(both);
    expect(seriesOf(instruments)).toEqual(both);
    told = [[7, "c"]];
    expect(seriesOf(instruments)).toEqual([[{ "otel.metric.overflow": true }, 7]]);
    expect(seriesOf(instruments)).toEqual([[{ workflow: "c" }, 7]]);
  });

  it("goes on without a metric that cannot be asked", () => {
    const instruments = new Instruments(1);
    instruments.observed("gauge", runs, () => throwing(new Error("no disk")));
    instruments.counter({ ...runs, name: "others" });
    const errors: unknown[] = [];
    expect(instruments.collect((error) => errors.push(error))).toHaveLength(2);
    expect(errors).toEqual([new Error("no disk")]);
  });

  it("counts a value in the first bucket whose bound it does not exceed, and keeps who it was", () => {
    const instruments = new Instruments(10);
    const cell = instruments.histogram({ ...runs, attributes: [] }, [0.1, 1]).of();
    cell.record(0.1, 5, "trace", "run");
    cell.record(0.05, 6, "", "other");
    cell.record(0.5);
    cell.record(2, 7, "third", "");
    expect(cell).toMatchObject({ counts: [2, 1, 1], sum: 2.65, count: 4 });
    expect([...cell.exemplars]).toEqual([
      { value: 0.05, timeMs: 6, traceId: "", runId: "other", spanId: "", attempt: 0 },
      undefined,
      { value: 2, timeMs: 7, traceId: "third", runId: "", spanId: "", attempt: 0 },
    ]);
  });

  it("refuses a second metric of the same name", () => {
    const instruments = new Instruments(10);
    instruments.counter(runs);
    expect(() => instruments.counter(runs)).toThrow("two metrics named runs");
  });
});
