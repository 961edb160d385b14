import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, describe, expect, it } from "vitest";
import { fewestSeeds } from "./fewest-seeds.ts";
import { mutations } from "./mutation-list.ts";

const readme = readFileSync(join(import.meta.dirname, "README.md"), "utf8");
const patienceMs = 120_000;
const directory = mkdtempSync(join(tmpdir(), "retake-planted-bugs-"));

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** By which seed the README says that the simulation finds a bug. */
function namedSeed(name: string): number {
  const row = readme.split("\n").find((line) => line.startsWith(`| ${name} `));
  return Number(row?.split("|")[2]?.replaceAll(",", ""));
}

/** Plants a bug in a copy of the sources. By which seed the simulation finds it; undefined when it does not, or not in time. */
async function plant(name: string): Promise<number | undefined> {
  const main = join(import.meta.dirname, "mutations.ts");
  const child = spawn(process.execPath, ["--conditions=retake-source", main, "--only", name], {
    env: { ...process.env, TMPDIR: directory },
    stdio: ["ignore", "pipe", "inherit"],
    // A group of its own, so that the simulation ends with it.
    detached: true,
  });
  const timer = setTimeout(() => child.pid !== undefined && process.kill(-child.pid, "SIGKILL"), patienceMs);
  try {
    const rows = (await text(child.stdout)).split("\n");
    const seed = rows.find((row) => row.startsWith(`| ${name} |`))?.split("|")[2];
    return seed === undefined || seed.includes("not within") ? undefined : Number(seed);
  } finally {
    clearTimeout(timer);
  }
}

describe("the simulation finds, within the seeds of the test command,", () => {
  it.concurrent.each([
    "a permit is never given back",
    "an interruption is counted",
    "a checkpoint is not committed",
    "the wake-up after a backoff is dropped",
    "an open breaker lets runs through",
    "recovery actions are done again",
    // What only plans come to that are led there.
    "a retry during the grace of an orphan makes it last",
    "what an attempt says while its back-end is asked counts for nothing",
    "a retry takes what there is where that is less than a token",
  ])("that %s", { timeout: patienceMs + 5_000 }, async (name) => {
    expect(mutations.map((mutation) => mutation.name)).toContain(name);
    expect(namedSeed(name)).toBeLessThanOrEqual(fewestSeeds);
    expect(await plant(name)).toBeLessThanOrEqual(fewestSeeds);
  });
});
