import { describe, expect, it } from "vitest";
import { allHold, describeMachine, formatJson, formatTable, warningsOf } from "../../bench/report.ts";
import { held, missed, quiet, throughput } from "./reports.ts";

describe("allHold", () => {
  it("is true when no figure misses its bar", () => {
    expect(allHold(quiet)).toBe(true);
  });

  it("is false when one does", () => {
    expect(allHold({ ...quiet, figures: [throughput, missed, held] })).toBe(false);
  });
});

describe("formatTable", () => {
  it("shows value, unit, spread, bar and whether it holds", () => {
    expect(formatTable([throughput, held, missed])).toBe(
      [
        "figure                  median  unit     half of the rounds  bar",
        "bridge-throughput       14,322  calls/s  14,000 to 15,000",
        "bridge-to-bare-echo      0.930  ratio    0.920 to 0.941      >= 0.9  holds",
        "empty-run-to-bare-echo   0.300  ratio    0.920 to 0.941      >= 0.4  MISSED",
      ].join("\n"),
    );
  });
});

describe("formatJson", () => {
  it("has name, value, unit, bar and whether it holds for each figure", () => {
    expect(JSON.parse(formatJson({ ...quiet, figures: [throughput, missed] })).figures).toEqual([
      {
        name: "bridge-throughput",
        value: 14_321.6,
        quartiles: [14_000, 15_000],
        unit: "calls/s",
        bar: null,
        holds: null,
      },
      {
        name: "empty-run-to-bare-echo",
        value: 0.3,
        quartiles: [0.92, 0.9412],
        unit: "ratio",
        bar: { atLeast: 0.4 },
        holds: false,
      },
    ]);
  });

  it("tells where it was measured", () => {
    expect(JSON.parse(formatJson(quiet)).machine).toEqual(quiet.machine);
  });
});

describe("describeMachine", () => {
  it("names cores, Node and load average", () => {
    const text = describeMachine(quiet);
    expect(text).toContain("4 cores (Some CPU), linux x64, Node v26.0.0, load average 0.3 before");
    expect(text).toContain("20 rounds; the load generator took at most 31 % of a core");
  });
});

describe("warningsOf", () => {
  it("finds nothing wrong with an idle machine", () => {
    expect(warningsOf(quiet)).toEqual([]);
  });

  it("warns of a busy machine", () => {
    expect(warningsOf({ ...quiet, machine: { ...quiet.machine, loadAverage: 2.1 } })).toEqual([
      expect.stringContaining("load average was 2.1 on 4 cores"),
    ]);
  });

  it("warns of a single core", () => {
    expect(warningsOf({ ...quiet, machine: { ...quiet.machine, cores: 1 } })).toEqual([
      expect.stringContaining("with one core"),
    ]);
  });

  it("warns when syncs cost nothing", () => {
    expect(warningsOf({ ...quiet, machine: { ...quiet.machine, dataInMemory: true } })).toEqual([
      expect.stringContaining("set TMPDIR"),
    ]);
  });

  it("warns when the load generator is busy itself", () => {
    expect(warningsOf({ ...quiet, generatorBusy: 0.92 })).toEqual([expect.stringContaining("92 % of a core")]);
  });
});
