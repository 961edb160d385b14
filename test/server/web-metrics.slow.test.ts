import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { metrics } from "@opentelemetry/api";
import { expect, it } from "vitest";
import { temporaryDirectory } from "../runs/sqlite/temporary-directory.ts";
import { requireTool } from "../tools.ts";
import { startListening } from "./listening-server.ts";

const run = promisify(execFile);

/** What this thread has computed, in ms: what else the machine does meanwhile makes no difference. */
function computedMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** What is computed in the longest turn of the event loop while something is being done, in ms. */
async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  let longest = 0;
  let last = computedMs();
  let over = false;
  const turn = (): void => {
    const now = computedMs();
    longest = Math.max(longest, now - last);
    last = now;
    if (!over) setImmediate(turn);
  };
  setImmediate(turn);
  await work();
  over = true;
  return longest;
}

const scrapes = 15;
const longestMs = 10;

it("reading ten thousand series, compressed, leaves nobody without a turn for more than 10 ms", async (context) => {
  const curl = requireTool("curl", context);
  const { webPort } = await startListening({}, { config: { telemetry: { cardinalityLimit: 20_000 } } });
  const url = `http://127.0.0.1:${webPort}/metrics`;
  // Another process reads, so that only the server's own turns count.
  const file = join(temporaryDirectory(), "metrics");
  const scrape = () => run(curl, ["--silent", "--compressed", "--output", file, url]);
  await scrape();
  // Of the largest kind: each is written as eighteen lines.
  const histogram = metrics.getMeter("studio").createHistogram("studio.shots");
  for (let shot = 0; shot < 10_000; shot++) histogram.record(shot, { shot, film: "the long take" });
  const turns: number[] = [];
  for (let i = 0; i < scrapes; i++) {
    turns.push(await longestTurn(scrape));
    expect(readFileSync(file, "utf8").match(/^studio_shots_count\{/gm)).toHaveLength(10_000);
  }
  turns.sort((a, b) => a - b);
  // Systems count what a thread computes by ticks of some milliseconds, and garbage is collected now and then.
  const usual = turns[Math.floor(scrapes / 2)] ?? Number.POSITIVE_INFINITY;
  console.log(
    `10,000 series: usually ${usual.toFixed(1)} ms in the longest turn, at most ${turns.at(-1)?.toFixed(1)} ms`,
  );
  expect(usual).toBeLessThan(longestMs);
});
