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

// How long the longest of these turns takes is a figure of the bench.
it("writes ten thousand series of the largest kind, compressed, to another process", async (context) => {
  const curl = requireTool("curl", context);
  const { webPort } = await startListening({}, { config: { telemetry: { cardinalityLimit: 20_000 } } });
  const url = `http://127.0.0.1:${webPort}/metrics`;
  const file = join(temporaryDirectory(), "metrics");
  const scrape = () => run(curl, ["--silent", "--compressed", "--output", file, url]);
  // From then on all that is measured is kept.
  await scrape();
  // Each is written as eighteen lines.
  const histogram = metrics.getMeter("studio").createHistogram("studio.shots");
  for (let shot = 0; shot < 10_000; shot++) histogram.record(shot, { shot, film: "the long take" });
  await scrape();
  const text = readFileSync(file, "utf8");
  expect(text.match(/^studio_shots_count\{/gm)).toHaveLength(10_000);
});
