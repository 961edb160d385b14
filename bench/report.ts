import { describeBar, type FigureResult } from "./figures.ts";
import type { Machine } from "./machine.ts";

/** What one run of the bench has found. */
export interface Report {
  readonly machine: Machine;
  /** 0 when nothing was measured in rounds. */
  readonly rounds: number;
  /** The largest share of a core that the load generator took for a subject. */
  readonly generatorBusy: number;
  readonly figures: readonly FigureResult[];
}

/** Beyond this the load generator may be what is measured. */
const busiestGenerator = 0.85;

/** Whether no figure misses its bar. */
export function allHold({ figures }: Report): boolean {
  return figures.every(({ holds }) => holds !== false);
}

/** What may make the figures worthless, for people. */
export function warningsOf({ machine, generatorBusy }: Report): readonly string[] {
  const { cores, loadAverage, dataInMemory } = machine;
  const warnings: string[] = [];
  if (loadAverage > cores / 2) {
    warnings.push(
      `the load average was ${loadAverage.toFixed(1)} on ${cores} cores before the bench began: measure again when the machine is idle`,
    );
  }
  if (cores < 2) {
    warnings.push("with one core the load generator takes its time from the servers");
  }
  if (dataInMemory) {
    warnings.push("the data directory is in memory, where syncs cost nothing: set TMPDIR to a directory on a disk");
  }
  if (generatorBusy > busiestGenerator) {
    warnings.push(
      `the load generator took ${Math.round(generatorBusy * 100)} % of a core: the servers may be faster than it shows`,
    );
  }
  return warnings;
}

/** For the file of `--json`; what a figure does not have is null there. */
export function formatJson(report: Report): string {
  return `${JSON.stringify(report, (_, value) => (value === undefined ? null : value), 2)}\n`;
}

export function describeMachine({ machine, rounds, generatorBusy }: Report): string {
  const { cores, processor, node, platform, loadAverage } = machine;
  const where = `${cores} cores (${processor}), ${platform}, Node ${node}, load average ${loadAverage.toFixed(1)} before`;
  return rounds === 0
    ? where
    : `${where}\nmedians of ${rounds} rounds; the load generator took at most ${Math.round(generatorBusy * 100)} % of a core`;
}

/** The figures as a table: value, the quartiles of its rounds, bar, and whether it holds. */
export function formatTable(figures: readonly FigureResult[]): string {
  const rows = figures.map(({ name, value, quartiles, unit, bar, holds }) => {
    const format = formatter(unit);
    return [
      name,
      format(value),
      unit,
      `${format(quartiles[0])} to ${format(quartiles[1])}`,
      bar === undefined ? "" : describeBar(bar),
      holds === undefined ? "" : holds ? "holds" : "MISSED",
    ];
  });
  const table = [["figure", "median", "unit", "half of the rounds", "bar", ""], ...rows];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  return table
    .map((row) =>
      row
        .map((cell, column) => (column === 1 ? cell.padStart(widths[1] ?? 0) : cell.padEnd(widths[column] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function formatter(unit: string): (value: number) => string {
  const digits = unit === "ratio" ? 3 : unit === "calls/s" ? 0 : 1;
  return (value) =>
    Number.isNaN(value)
      ? "-"
      : value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
