import { describe, expect, it } from "vitest";
import {
  describeBar,
  evaluateFigure,
  type Figure,
  figures,
  keepsTo,
  type Round,
  selectFigures,
} from "../../bench/figures.ts";
import { sample } from "./samples.ts";

describe("figures", () => {
  it("have a name each, in kebab case", () => {
    const names = figures.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.filter((name) => !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name))).toEqual([]);
  });

  it("keep to these bars", () => {
    const bars = figures.flatMap(({ name, bar }) => (bar === undefined ? [] : [`${name} ${describeBar(bar)}`]));
    expect(bars).toEqual([
      "slow-sync-event-loop-delay-p99 < 8",
      "bridge-to-bare-echo >= 0.9",
      "empty-run-to-durable-reference >= 0.75",
      "empty-run-to-bare-echo >= 0.4",
      "telemetry-kept >= 0.9",
      "telemetry-exported >= 0.9",
      "full-chain-to-empty-run >= 0.85",
      "full-chain-added-cpu < 60",
      "security-by-key >= 0.85",
      "security-by-token >= 0.85",
      "three-steps-to-bare-echo >= 0.35",
      "empty-run-p50-to-durable-reference <= 1.5",
    ]);
  });
});

describe("evaluateFigure", () => {
  it("takes the ratio of each round, and then their median", () => {
    const rounds: Round[] = [
      round({ callsPerSecond: 100 }, { callsPerSecond: 200 }),
      round({ callsPerSecond: 900 }, { callsPerSecond: 1000 }),
      // The ratio of the medians would be 0.8.
      round({ callsPerSecond: 800 }, { callsPerSecond: 800 }),
    ];
    expect(evaluateFigure(named("bridge-to-bare-echo"), rounds)).toMatchObject({
      value: 0.9,
      quartiles: [0.7, 0.95],
      unit: "ratio",
      holds: true,
    });
  });

  it("compares the latency of a call where the figure says so", () => {
    const rounds: Round[] = [
      new Map([
        ["empty-run", sample({ p50Micros: 800, callsPerSecond: 1 })],
        ["durable-reference", sample({ p50Micros: 500, callsPerSecond: 1 })],
      ]),
    ];
    expect(evaluateFigure(named("empty-run-p50-to-durable-reference"), rounds)).toMatchObject({
      value: 1.6,
      holds: false,
    });
  });

  it("tells nothing about a bar that there is not", () => {
    const rounds = [round({ callsPerSecond: 5 }, { callsPerSecond: 7 })];
    expect(evaluateFigure(named("bridge-throughput"), rounds)).toEqual({
      name: "bridge-throughput",
      value: 5,
      quartiles: [5, 5],
      unit: "calls/s",
      bar: undefined,
      holds: undefined,
    });
  });

  it("refuses to tell about a subject that was not measured", () => {
    expect(() => evaluateFigure(named("start-run-cpu"), [round({}, {})])).toThrow("start-run was not measured");
  });
});

describe("keepsTo", () => {
  it.each([
    [{ atLeast: 0.9 }, 0.9, true],
    [{ atLeast: 0.9 }, 0.899, false],
    [{ atMost: 1.5 }, 1.5, true],
    [{ atMost: 1.5 }, 1.501, false],
    [{ below: 8 }, 7.999, true],
    [{ below: 8 }, 8, false],
    [{ atLeast: 0.9 }, Number.NaN, false],
    [{ atMost: 1.5 }, Number.NaN, false],
    [{ below: 8 }, Number.NaN, false],
  ])("holds %j against %d: %s", (bar, value, holds) => {
    expect(keepsTo(bar, value)).toBe(holds);
  });
});

describe("selectFigures", () => {
  it("selects all without a name", () => {
    expect(selectFigures(undefined)).toBe(figures);
  });

  it("prefers the figure of that name", () => {
    expect(selectFigures("bridge-p50").map(({ name }) => name)).toEqual(["bridge-p50"]);
  });

  it("else selects those that begin with it", () => {
    expect(selectFigures("bridge").map(({ name }) => name)).toEqual([
      "bridge-throughput",
      "bridge-cpu",
      "bridge-p50",
      "bridge-p99",
      "bridge-to-bare-echo",
    ]);
  });

  it("lists the names when there is none like it", () => {
    expect(() => selectFigures("brid")).toThrow(/no figure "brid".*\n {2}bare-echo-throughput\n/);
  });
});

function named(name: string): Figure {
  const [figure] = selectFigures(name);
  if (figure === undefined) {
    throw new Error(`no figure ${name}`);
  }
  return figure;
}

function round(bridge: Parameters<typeof sample>[0], bareEcho: Parameters<typeof sample>[0]): Round {
  return new Map([
    ["bridge", sample(bridge)],
    ["bare-echo", sample(bareEcho)],
  ]);
}
