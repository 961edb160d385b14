import { ManyProcess } from "../many-process.ts";
import { connectRuns, plainWorkflow, startRun } from "../run-client.ts";
import { type ScenarioOptions, scaled, type Values } from "../scenarios.ts";
import type { ManyOrder } from "../server-messages.ts";
import { Watchers } from "../watchers.ts";

const idleWatchers = 10_000;
const watchedRuns = 100;

/** What an idle watcher adds to the memory of the server's process, beside an idle stream of bare grpc-js. */
export async function measureWatchers(options: ScenarioOptions): Promise<Values> {
  const { directory } = options;
  return new Map([
    ["many-watchers", [await kilobytesEach({ kind: "retake", directory, held: true }, options)]],
    ["many-watchers-bare", [await kilobytesEach({ kind: "bare" }, options)]],
  ]);
}

async function kilobytesEach(order: ManyOrder, options: ScenarioOptions): Promise<number> {
  const { signal } = options;
  await using server = await ManyProcess.start(order, signal);
  const runIds: string[] = [];
  if (order.kind === "retake") {
    using client = connectRuns(server.port);
    for (let count = 0; count < watchedRuns; count++) {
      runIds.push(await startRun(client, plainWorkflow));
    }
  }
  const watchers = scaled(idleWatchers, options);
  const before = await server.memory(signal);
  using _ = await Watchers.open({ port: server.port, runIds, watchers, watchersPerConnection: 1000, signal });
  const after = await server.memory(signal);
  return (after.residentBytes - before.residentBytes) / watchers / 1024;
}
