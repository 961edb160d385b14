import type { FigureResult } from "../../bench/figures.ts";
import type { Report } from "../../bench/report.ts";

export const throughput: FigureResult = {
  name: "bridge-throughput",
  value: 14_321.6,
  quartiles: [14_000, 15_000],
  unit: "calls/s",
  bar: undefined,
  holds: undefined,
};

export const held: FigureResult = {
  name: "bridge-to-bare-echo",
  value: 0.93,
  quartiles: [0.92, 0.9412],
  unit: "ratio",
  bar: { atLeast: 0.9 },
  holds: true,
};

export const missed: FigureResult = {
  ...held,
  name: "empty-run-to-bare-echo",
  value: 0.3,
  bar: { atLeast: 0.4 },
  holds: false,
};

/** Of a machine with nothing else to do. */
export const quiet: Report = {
  machine: {
    cores: 4,
    processor: "Some CPU",
    node: "v26.0.0",
    platform: "linux x64",
    loadAverage: 0.25,
    dataInMemory: false,
  },
  rounds: 20,
  generatorBusy: 0.31,
  figures: [throughput, held],
};
