import { startRuns } from "../load.ts";
import { ManyProcess } from "../many-process.ts";
import { type ScenarioOptions, scaled, type Values } from "../scenarios.ts";

const queuedRuns = 100_000;
/** SQLite's caches are full after some ten thousand runs. */
const warmUpRuns = 40_000;

/** What a run that waits in line adds to the memory of the server, while one is at work. */
export async function measureQueued(options: ScenarioOptions): Promise<Values> {
  const { directory, signal } = options;
  await using server = await ManyProcess.start({ kind: "retake", directory, held: true, limit: 1 }, signal);
  const runs = scaled(queuedRuns, options);
  // Caches and compiled code are there for any number of runs.
  await startRuns(server.port, scaled(warmUpRuns, options), signal);
  const before = await server.memory(signal);
  await startRuns(server.port, runs, signal);
  const after = await server.memory(signal);
  return new Map([
    ["many-queued", [(after.reachableBytes - before.reachableBytes) / runs]],
    ["many-queued-resident", [(after.residentBytes - before.residentBytes) / runs]],
  ]);
}
