import { get } from "node:http";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { ManyProcess } from "../many-process.ts";
import { type ScenarioOptions, scaled, type Values } from "../scenarios.ts";
import type { Progress } from "../server-messages.ts";

const series = 10_000;
const scrapes = 25;
/** Compiled code and a grown heap are there for any scrape. */
const warmUpScrapes = 5;
const settleMs = 50;

/** For how long a scrape of many series keeps everybody else from having a turn of the event loop. */
export async function measureScrape(options: ScenarioOptions): Promise<Values> {
  const { directory, signal } = options;
  const count = scaled(series, options);
  await using server = await ManyProcess.start({ kind: "scraped", directory, series: count }, signal);
  const progress = async (): Promise<Progress> => (await server.ask({ kind: "progress" }, signal)) as Progress;
  const turnsMs: number[] = [];
  const timesMs: number[] = [];
  for (let number = -warmUpScrapes; number < scrapes; number++) {
    await progress();
    // The first look is what the next one is late against.
    await sleep(settleMs, undefined, { signal });
    const startMs = performance.now();
    const compressed = await scrape(server.webPort, signal);
    const timeMs = performance.now() - startMs;
    const { eventLoopDelayMaxMs } = await progress();
    if (number >= 0) {
      turnsMs.push(eventLoopDelayMaxMs);
      timesMs.push(timeMs);
    }
    const found = gunzipSync(compressed)
      .toString("latin1")
      .match(/^studio_shots_count\{/gm)?.length;
    if (found !== count) {
      throw new Error(`a scrape has ${found} of ${count} series`);
    }
  }
  return new Map([
    ["scrape-turn", turnsMs],
    ["scrape-turn-max", [Math.max(...turnsMs)]],
    ["scrape-time", timesMs],
  ]);
}

/** Reads all of it as Prometheus does. */
function scrape(port: number, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const headers = { "accept-encoding": "gzip", accept: "application/openmetrics-text;version=1.0.0" };
    get({ host: "127.0.0.1", port, path: "/metrics", headers, signal }, (response) => {
      if (response.statusCode !== 200 || response.headers["content-encoding"] !== "gzip") {
        reject(new Error(`a scrape was answered with ${response.statusCode}`));
        response.resume();
      } else {
        buffer(response).then(resolve, reject);
      }
    }).on("error", reject);
  });
}
