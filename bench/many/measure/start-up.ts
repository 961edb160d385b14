import { mkdir, mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { bundleProject } from "../bundle-project.ts";
import type { ScenarioOptions, Values } from "../scenarios.ts";
import { timeNode, timeServe } from "../served-program.ts";

const rounds = 7;

/**
 * From the start of the process until it serves a contract with eight workflows, with an empty data directory: the
 * program that is published, which is what users start, with nothing kept of an earlier start; as it is from the second
 * start on; and with a web port too. Beside what Node itself takes.
 */
export async function measureStartUp({ directory, signal }: ScenarioOptions): Promise<Values> {
  await bundleProject();
  const cacheDirectory = join(directory, "cache");
  // It is used only where it belongs to whoever starts the server.
  await mkdir(cacheDirectory);
  const data = () => mkdtemp(join(directory, "data-"));
  // What is measured first of all would be read from the disk.
  await timeServe({ directory: await data(), cacheDirectory, web: true }, signal);
  const first: number[] = [];
  const again: number[] = [];
  const web: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < rounds; round++) {
    first.push(await timeServe({ directory: await data(), web: false }, signal));
    again.push(await timeServe({ directory: await data(), cacheDirectory, web: false }, signal));
    web.push(await timeServe({ directory: await data(), web: true }, signal));
    bare.push(await timeNode(signal));
  }
  return new Map([
    ["many-start-up", first],
    ["many-start-up-again", again],
    ["many-start-up-web", web],
    ["many-start-up-bare", bare],
  ]);
}
