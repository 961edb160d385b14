import { metrics } from "@opentelemetry/api";
import type { createServer } from "../../src/index.ts";
import { listen } from "./listen.ts";
import type { ManyOrder, ManyReady } from "./server-messages.ts";

/** What the rule that matters goes by. */
const level = "studio_level";

/** It has rules and series beside the one that matters. */
export async function startAlerting(
  create: typeof createServer,
  { directory, receiver, rules, series }: ManyOrder & { kind: "alerting" },
): Promise<ManyReady> {
  const monitoring = {
    disabledRules: ["RetakeDeadMan"],
    notifiers: [{ name: "bench", kind: { case: "webhook" as const, value: { url: receiver } } }],
    rules: [
      { name: "LevelHigh", queries: { level: { metric: level } }, warning: { at: 10 } },
      ...Array.from({ length: rules - 1 }, (_, i) => ({
        name: `Depth${i}`,
        queries: {
          depth: { metric: `studio_depth_${i % depthMetrics}`, matchers: [{ label: "queue", value: `${i}` }] },
        },
        warning: { at: 1e9 },
      })),
    ],
  };
  const ready = await listen(create, { dataDirectory: directory, monitoring }, {});
  const meter = metrics.getMeter("bench");
  for (let metric = 0; metric < depthMetrics; metric++) {
    const depth = meter.createGauge(`studio.depth.${metric}`);
    for (let queue = 0; queue < series / depthMetrics; queue++) depth.record(queue, { queue });
  }
  setLevel(0);
  return ready;
}

const depthMetrics = 10;

/** From now on it is measured to be so high. */
export function setLevel(value: number): void {
  metrics.getMeter("bench").createGauge("studio.level").record(value);
}
