import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { bundleProject } from "../bundle-project.ts";
import { ManyProcess } from "../many-process.ts";
import type { ScenarioOptions, Values } from "../scenarios.ts";

const rounds = 5;

/**
 * From the start of the process until it serves, with an empty data directory; beside a process that serves nothing. The
 * server is the compiled one, which is what users start: the sources cost as much again to strip of their types.
 */
export async function measureStartUp({ directory, signal }: ScenarioOptions): Promise<Values> {
  await bundleProject();
  const ours: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const own = join(directory, `${round}`);
    await mkdir(own);
    {
      await using server = await ManyProcess.start(
        { kind: "retake", directory: own, held: false, compiled: true },
        signal,
      );
      ours.push(server.startMs);
    }
    await using nothing = await ManyProcess.start({ kind: "nothing" }, signal);
    bare.push(nothing.startMs);
  }
  return new Map([
    ["many-start-up", ours],
    ["many-start-up-bare", bare],
  ]);
}
