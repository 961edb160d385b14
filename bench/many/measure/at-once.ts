import { createCallTemplates } from "../../grpc-request.ts";
import { LoadConnection } from "../../load-connection.ts";
import { plainPath } from "../../servers/plain-method.ts";
import { until } from "../load.ts";
import { ManyProcess } from "../many-process.ts";
import { type ScenarioOptions, scaled, type Values } from "../scenarios.ts";
import type { ManyOrder } from "../server-messages.ts";

const runsAtOnce = 1000;
const connectionCount = 4;

/** Callers of as many runs, all of them at work at the same time; each has to be answered with OK. */
export async function measureAtOnce(options: ScenarioOptions): Promise<Values> {
  const ours = await answered({ kind: "retake", directory: options.directory, held: true }, options);
  const bare = await answered({ kind: "bare" }, options);
  return new Map([
    ["many-at-once", [ours.ended]],
    ["many-at-once-time", [ours.ms]],
    ["many-at-once-bare-time", [bare.ms]],
  ]);
}

/** The share that ended well, and the time from the first call to the last answer. */
async function answered(
  order: ManyOrder,
  options: ScenarioOptions,
): Promise<{ readonly ended: number; readonly ms: number }> {
  const { signal } = options;
  await using server = await ManyProcess.start(order, signal);
  const calls = scaled(runsAtOnce, options);
  const connections: LoadConnection[] = [];
  try {
    for (let count = 0; count < connectionCount; count++) {
      connections.push(await LoadConnection.connect(server.port, createCallTemplates(plainPath, new Uint8Array())));
    }
    const startMs = performance.now();
    for (const [index, connection] of connections.entries()) {
      connection.start(Math.floor((calls + index) / connectionCount));
    }
    await until("all at once", async () => (await server.ask({ kind: "held" }, signal)) === calls, signal, 30_000);
    const answers = connections.map((connection) => connection.stop());
    await server.ask({ kind: "release" }, signal);
    await Promise.all(answers);
    const ms = performance.now() - startMs;
    return { ended: connections.reduce((sum, { completed }) => sum + completed, 0) / calls, ms };
  } finally {
    for (const connection of connections) {
      connection.close();
    }
  }
}
