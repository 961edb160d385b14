import { quantile } from "../../statistics.ts";
import { eventTimeMs } from "../event-time.ts";
import { ManyProcess } from "../many-process.ts";
import { connectRuns, startRun, streamingWorkflow } from "../run-client.ts";
import { type ScenarioOptions, scaled, type Values } from "../scenarios.ts";
import type { ManyOrder } from "../server-messages.ts";
import { Watchers } from "../watchers.ts";

const watcherCount = 1000;
const eventsPerSecond = 100;
const warmUpEvents = 200;
const rounds = 3;
const eventsPerRound = 200;

/**
 * How long after it happened an event of a run reaches its watchers: a journaled line a time, so that each of them has to
 * get each. Beside bare grpc-js that writes messages of the same kind, journals nothing and encodes each once.
 */
export async function measureEvents(options: ScenarioOptions): Promise<Values> {
  const { directory } = options;
  const ours = await delays({ kind: "retake", directory, held: true }, options);
  const bare = await delays({ kind: "bare" }, options);
  return new Map([
    ["many-events-p50", ours.map((delaysMs) => quantile(delaysMs, 0.5))],
    ["many-events-p99", ours.map((delaysMs) => quantile(delaysMs, 0.99))],
    ["many-events-bare-p99", bare.map((delaysMs) => quantile(delaysMs, 0.99))],
  ]);
}

/** The delays of each round, in ms. */
async function delays(order: ManyOrder, options: ScenarioOptions): Promise<readonly (readonly number[])[]> {
  const { signal } = options;
  await using server = await ManyProcess.start(order, signal);
  const runIds: string[] = [];
  if (order.kind === "retake") {
    using client = connectRuns(server.port);
    runIds.push(await startRun(client, streamingWorkflow));
  }
  const count = scaled(watcherCount, options);
  using watchers = await Watchers.open({
    port: server.port,
    runIds,
    watchers: count,
    watchersPerConnection: 100,
    signal,
  });
  let delaysMs: number[] = [];
  let events = 0;
  watchers.onMessage = (message) => {
    const timeMs = eventTimeMs(message);
    if (timeMs !== undefined) {
      events++;
      delaysMs.push(Date.now() - timeMs);
    }
  };
  const emit = async (number: number): Promise<void> => {
    const expected = events + number * count;
    await server.ask({ kind: "emit", count: number, intervalMs: 1000 / eventsPerSecond }, signal);
    await watchers.seen(watchers.messages + Math.max(0, expected - events), signal);
    if (events !== expected) {
      throw new Error(`the watchers saw ${events} events instead of ${expected}`);
    }
  };
  await emit(scaled(warmUpEvents, options));
  const found: (readonly number[])[] = [];
  for (let round = 0; round < rounds; round++) {
    delaysMs = [];
    await emit(scaled(eventsPerRound, options));
    found.push(delaysMs);
  }
  return found;
}
