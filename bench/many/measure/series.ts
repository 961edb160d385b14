import { ManyProcess } from "../many-process.ts";
import { type ScenarioOptions, scaled, type Values } from "../scenarios.ts";

const series = 10_000;

/** What ten thousand series of six hours add to the memory of a process. */
export async function measureSeries(options: ScenarioOptions): Promise<Values> {
  const { signal } = options;
  await using child = await ManyProcess.start({ kind: "series" }, signal);
  const before = await child.memory(signal);
  const count = scaled(series, options);
  await child.ask({ kind: "fill", series: count }, signal);
  const after = await child.memory(signal);
  const megabytes = (bytes: number): number => (bytes / 1024 / 1024) * (series / count);
  return new Map([
    ["series-memory", [megabytes(after.reachableBytes - before.reachableBytes)]],
    ["series-memory-resident", [megabytes(after.residentBytes - before.residentBytes)]],
  ]);
}
