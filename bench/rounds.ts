import type { Figure, Load, Round, SubjectSample } from "./figures.ts";
import type { LoadConnection } from "./load-connection.ts";
import type { ServerProcess } from "./server-process.ts";
import { quantile } from "./statistics.ts";
import { type Subject, subjects } from "./subjects.ts";

const callsInFlight = 64;
/** Long enough for dozens of group commits, short enough that a round is over before the machine is another one. */
const throughputMs = 600;
const latencyMs = 300;
/**
 * How long a load lasts before it is measured, on all subjects alike. A server that has been idle, as each has while the
 * others are measured, may keep the spans of a second at once; a rush of that many in each of these short loads would be three
 * times of what is kept while a load lasts, and what telemetry costs is a question about those.
 */
const leadInMs = 150;
const fewestRounds = 3;
/** Until V8 has optimised the servers: below this an empty run costs twice what it costs from then on. */
const warmUpCalls = 30_000;
/** For the answers to the last calls of a load. */
const answerTimeoutMs = 10_000;

/** Which loads each subject gets, and for how long. */
export interface Plan {
  readonly loads: ReadonlyMap<Subject, ReadonlySet<Load>>;
  /** How long a load lasts before throughput is measured. */
  readonly leadInMs: number;
  readonly throughputMs: number;
  readonly latencyMs: number;
  readonly rounds: number;
  /** How long one server may take to become warm. */
  readonly longestWarmUpMs: number;
}

/** What the figures need, in as many rounds as fit into the time, or in three shorter ones. */
export function planRounds(figures: readonly Figure[], seconds: number): Plan {
  const needed = figures.flatMap(({ needs }) => needs);
  const loads = new Map<Subject, Set<Load>>();
  for (const subject of subjects) {
    const own = needed.filter(([name]) => name === subject).map(([, load]) => load);
    if (own.length > 0) {
      loads.set(subject, new Set(own));
    }
  }
  let roundMs = 0;
  for (const own of loads.values()) {
    roundMs += (own.has("throughput") ? leadInMs + throughputMs : 0) + (own.has("latency") ? latencyMs : 0);
  }
  const share = Math.min(1, (seconds * 1000) / (roundMs * fewestRounds));
  const rounds = Math.max(fewestRounds, Math.floor((seconds * 1000) / roundMs));
  return {
    loads,
    leadInMs: leadInMs * share,
    throughputMs: throughputMs * share,
    latencyMs: latencyMs * share,
    rounds,
    longestWarmUpMs: (seconds * 1000) / Math.max(1, loads.size),
  };
}

/**
 * Measures all servers in turn, round after round, each other round backwards, so that what slows the machine for a
 * while slows all of them.
 *
 * @throws Error when a call is answered with an error, or a server ends
 */
export async function measureRounds(
  servers: readonly ServerProcess[],
  plan: Plan,
  signal?: AbortSignal,
): Promise<readonly Round[]> {
  const rounds: Round[] = [];
  for (const server of servers) {
    signal?.throwIfAborted();
    await warmUp(server, plan.longestWarmUpMs, signal);
  }
  for (let number = 1; number <= plan.rounds; number++) {
    const round = new Map<Subject, SubjectSample>();
    for (const server of number % 2 === 0 ? servers.toReversed() : servers) {
      signal?.throwIfAborted();
      round.set(server.subject, await measure(server, plan));
    }
    rounds.push(round);
  }
  return rounds;
}

async function warmUp(
  { subject, connections }: ServerProcess,
  longestMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    for (const connection of connections) {
      connection.start(callsInFlight / connections.length);
    }
    await answered(connections, warmUpCalls, longestMs, signal);
    await allAnswered(connections.map((connection) => connection.stop()));
  } catch (error) {
    throw new Error(`${subject}: ${(error as Error).message}`, { cause: error });
  }
}

async function measure(server: ServerProcess, plan: Plan): Promise<SubjectSample> {
  const loads = plan.loads.get(server.subject);
  const sample: SubjectSample = {
    callsPerSecond: Number.NaN,
    cpuMicrosPerCall: Number.NaN,
    eventLoopDelayP99Ms: Number.NaN,
    generatorBusy: Number.NaN,
    p50Micros: Number.NaN,
    p99Micros: Number.NaN,
  };
  try {
    if (loads?.has("throughput")) {
      await leadIn(server, plan.leadInMs);
      Object.assign(sample, await measureThroughput(server, plan.throughputMs));
    }
    if (loads?.has("latency")) {
      Object.assign(sample, await measureLatency(server, plan.latencyMs));
    }
  } catch (error) {
    throw new Error(`${server.subject}: ${(error as Error).message}`, { cause: error });
  }
  return sample;
}

async function leadIn({ connections }: ServerProcess, durationMs: number): Promise<void> {
  for (const connection of connections) {
    connection.start(callsInFlight / connections.length);
  }
  await sleep(durationMs);
  await allAnswered(connections.map((connection) => connection.stop()));
}

async function measureThroughput(server: ServerProcess, durationMs: number): Promise<Partial<SubjectSample>> {
  const { connections } = server;
  await server.usage();
  const before = completed(connections);
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  for (const connection of connections) {
    connection.start(callsInFlight / connections.length);
  }
  await sleep(durationMs);
  // On a machine that is too busy for even one answer in time there would be nothing to divide by.
  await answered(connections, before + callsInFlight, answerTimeoutMs);
  const elapsedMs = performance.now() - startMs;
  const calls = completed(connections) - before;
  const cpu = process.cpuUsage(cpuBefore);
  await allAnswered(connections.map((connection) => connection.stop()));
  const { cpuMicros, eventLoopDelayP99Ms } = await server.usage();
  return {
    callsPerSecond: (calls * 1000) / elapsedMs,
    cpuMicrosPerCall: cpuMicros / (completed(connections) - before),
    eventLoopDelayP99Ms,
    generatorBusy: (cpu.user + cpu.system) / 1000 / elapsedMs,
  };
}

async function measureLatency(server: ServerProcess, durationMs: number): Promise<Partial<SubjectSample>> {
  const [connection] = server.connections;
  const latenciesMicros: number[] = [];
  connection?.start(1, latenciesMicros);
  await sleep(durationMs);
  await allAnswered([connection?.stop()]);
  return { p50Micros: quantile(latenciesMicros, 0.5), p99Micros: quantile(latenciesMicros, 0.99) };
}

function completed(connections: readonly LoadConnection[]): number {
  return connections.reduce((sum, connection) => sum + connection.completed, 0);
}

/** Waits until so many calls have been answered in all, or for that time. @throws what goes wrong meanwhile */
async function answered(
  connections: readonly LoadConnection[],
  calls: number,
  longestMs: number,
  signal?: AbortSignal,
): Promise<void> {
  const startMs = performance.now();
  while (completed(connections) < calls && performance.now() - startMs < longestMs) {
    await sleep(10);
    signal?.throwIfAborted();
    for (const connection of connections) {
      connection.throwFailure();
    }
  }
}

function sleep(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}

async function allAnswered(stops: readonly (Promise<void> | undefined)[]): Promise<void> {
  const overdue = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => overdue.reject(new Error(`calls were not answered within ${answerTimeoutMs / 1000} s`)),
    answerTimeoutMs,
  );
  try {
    await Promise.race([Promise.all(stops), overdue.promise]);
  } finally {
    clearTimeout(timer);
  }
}
