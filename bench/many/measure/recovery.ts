import { cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { openStates } from "../../../src/runs/run-record.ts";
import { startRuns, until } from "../load.ts";
import { ManyProcess } from "../many-process.ts";
import { connectRuns } from "../run-client.ts";
import { type ScenarioOptions, scaled, type Values } from "../scenarios.ts";

const unfinishedRuns = 10_000;
const rounds = 3;

/**
 * A server is killed with unfinished runs, as many of them at work as it lets; how long another one takes until it serves,
 * and until it first answers, beside one with nothing to recover. At the end all those runs have to succeed.
 */
export async function measureRecovery(options: ScenarioOptions): Promise<Values> {
  const { directory, signal } = options;
  const left = join(directory, "left");
  const none = join(directory, "none");
  await mkdir(left);
  await mkdir(none);
  {
    await using server = await ManyProcess.start({ kind: "retake", directory: left, held: true }, signal);
    await startRuns(server.port, scaled(unfinishedRuns, options), signal);
  }
  const seconds: number[] = [];
  const empty: number[] = [];
  const answered: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    // What one recovery writes must not be what the next one finds.
    const own = join(directory, `${round}`);
    await cp(left, own, { recursive: true });
    {
      await using server = await ManyProcess.start({ kind: "retake", directory: own, held: true }, signal);
      seconds.push(server.listenMs / 1000);
      const startMs = performance.now();
      using client = connectRuns(server.port);
      await client.runs.listRuns({ pageSize: 1, states: [...openStates] });
      answered.push((server.listenMs + performance.now() - startMs) / 1000);
      if (round === rounds) {
        await server.ask({ kind: "release" }, signal);
        await until(
          "the end of all recovered runs",
          async () => (await client.runs.listRuns({ pageSize: 1, states: [...openStates] })).runs.length === 0,
          signal,
        );
      }
    }
    await using server = await ManyProcess.start({ kind: "retake", directory: none, held: true }, signal);
    empty.push(server.listenMs / 1000);
  }
  return new Map([
    ["many-recovery", seconds],
    ["many-recovery-empty", empty],
    ["many-recovery-first-answer", answered],
  ]);
}
