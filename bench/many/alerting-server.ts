import { metrics } from "@opentelemetry/api";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import type { createServer } from "../../src/index.ts";
import { WorkflowsService } from "../../test/gen/retake/test/v1/workflows_pb.js";
import type { ManyOrder, ManyReady } from "./server-messages.ts";

/** What the rule that matters goes by. */
const level = "studio_level";

/** The server as its users have it, with rules and series beside the one that matters. */
export async function startAlerting(
  create: typeof createServer,
  { directory, receiver, rules, series }: ManyOrder & { kind: "alerting" },
): Promise<ManyReady> {
  const startMs = performance.now();
  const server = create({
    dataDirectory: directory,
    grpc: { port: 0 },
    web: { disabled: true },
    log: { level: "warn" },
    security: { anonymousLevel: AccessLevel.ADMIN },
    monitoring: {
      disabledRules: ["RetakeDeadMan"],
      notifiers: [{ name: "bench", kind: { case: "webhook", value: { url: receiver } } }],
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
    },
  });
  server.implement(WorkflowsService, handlers);
  await server.listen();
  if (server.grpc === undefined) throw new Error("the server does not listen");
  const meter = metrics.getMeter("bench");
  for (let metric = 0; metric < depthMetrics; metric++) {
    const depth = meter.createGauge(`studio.depth.${metric}`);
    for (let queue = 0; queue < series / depthMetrics; queue++) depth.record(queue, { queue });
  }
  setLevel(0);
  return { port: server.grpc.port, listenMs: performance.now() - startMs };
}

const depthMetrics = 10;

/** From now on it is measured to be so high. */
export function setLevel(value: number): void {
  metrics.getMeter("bench").createGauge("studio.level").record(value);
}

const unused = (): never => {
  throw new Error("the bench calls no workflow of it");
};

const handlers = {
  ...{
    plain: unused,
    keyed: unused,
    flaky: unused,
    limited: unused,
    hurried: unused,
    once: unused,
    forwarding: unused,
  },
  streaming: unused,
};
