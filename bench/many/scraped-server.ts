import { metrics } from "@opentelemetry/api";
import type { createServer } from "../../src/index.ts";
import { listen } from "./listen.ts";
import type { ManyOrder, ManyReady } from "./server-messages.ts";

/** It has many series of the largest kind: each is written as eighteen lines. */
export async function startScraped(
  create: typeof createServer,
  { directory, series }: ManyOrder & { kind: "scraped" },
): Promise<ManyReady> {
  const ready = await listen(
    create,
    {
      dataDirectory: directory,
      web: { port: 0 },
      // With room for the server's own.
      telemetry: { cardinalityLimit: 2 * series },
    },
    {},
  );
  // Meters measure from when there is a provider, which comes after the ports: whoever reads waits for it.
  await (await fetch(`http://127.0.0.1:${ready.webPort}/metrics`)).text();
  const histogram = metrics.getMeter("bench").createHistogram("studio.shots");
  for (let shot = 0; shot < series; shot++) histogram.record(shot, { shot, film: "the long take" });
  return ready;
}
