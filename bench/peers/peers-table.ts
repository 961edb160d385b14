import { median } from "../statistics.ts";
import type { Job, Measured } from "./jobs.ts";

/** What has been found about a product, over all rounds. */
export interface Found {
  readonly name: string;
  /** Versions and settings. */
  readonly told: string;
  readonly measured: readonly (Measured & { readonly job: Job; readonly inFlight: number })[];
}

const columns = [
  { title: "empty/s", job: "empty", inFlight: 64, key: "perSecond", digits: 0 },
  { title: "p99 ms", job: "empty", inFlight: 64, key: "p99Ms", digits: 1 },
  { title: "alone ms", job: "empty", inFlight: 1, key: "p50Ms", digits: 2 },
  { title: "3 steps/s", job: "steps", inFlight: 64, key: "perSecond", digits: 0 },
  { title: "p99 ms", job: "steps", inFlight: 64, key: "p99Ms", digits: 1 },
  { title: "alone ms", job: "steps", inFlight: 1, key: "p50Ms", digits: 2 },
] as const;

/** One table, medians over the rounds; the ratio is of throughput, ours to theirs. */
export function formatPeers(found: readonly Found[]): string {
  const ours = found.find(({ name }) => name === "retake");
  const ratio = (other: Found, job: Job): string =>
    ours === undefined || other === ours ? "" : `${(throughput(ours, job) / throughput(other, job)).toFixed(1)} x`;
  const header = ["", ...columns.slice(0, 3).map(({ title }) => title), "ratio"];
  header.push(...columns.slice(3).map(({ title }) => title), "ratio");
  const rows = found.map((each) => {
    const cells = columns.map(({ job, inFlight, key, digits }) => middleOf(each, job, inFlight, key).toFixed(digits));
    return [each.name, ...cells.slice(0, 3), ratio(each, "empty"), ...cells.slice(3), ratio(each, "steps")];
  });
  const lines = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const table = lines.map((line) =>
    line
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
  return [
    "Durable jobs that do nothing, and those of three durable steps: 64 in flight, and alone. Medians over the rounds.",
    "",
    ...table,
    "",
    ...found.map(({ name, told }) => `${name}: ${told}`),
  ].join("\n");
}

function throughput(found: Found, job: Job): number {
  return middleOf(found, job, 64, "perSecond");
}

function middleOf({ measured }: Found, job: Job, inFlight: number, key: keyof Measured): number {
  return median(measured.filter((each) => each.job === job && each.inFlight === inFlight).map((each) => each[key]));
}
