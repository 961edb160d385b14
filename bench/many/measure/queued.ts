import { startRuns } from "../load.ts";
import { ManyProcess } from "../many-process.ts";
import { type ScenarioOptions, scaled, type Values } from "../scenarios.ts";

const queuedRuns = 100_000;
/** The 32 MiB that SQLite caches are no run's, and full after 56,000: each takes some 600 bytes of the database. */
const warmUpRuns = 90_000;

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
