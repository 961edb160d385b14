import { type Client, createClient } from "@connectrpc/connect";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { BreakerMode } from "../../../gen/retake/v1/breaker_pb.js";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { startRuns, until } from "../load.ts";
import { ManyProcess } from "../many-process.ts";
import { connectRuns, plainWorkflow, type RunClient } from "../run-client.ts";
import { type ScenarioOptions, scaled, type Values } from "../scenarios.ts";
import type { Progress } from "../server-messages.ts";

const parkedRuns = 10_000;
/** The 32 MiB that SQLite caches are no run's, and full after 56,000: each takes some 600 bytes of the database. */
const warmUpRuns = 90_000;
/** Attempts at once. */
const limit = 100;

/**
 * What a run that an open breaker has parked adds to the memory of the server; and how soon all of them are done once it
 * closes, wave by wave, with how late the event loop is meanwhile.
 */
export async function measureParked(options: ScenarioOptions): Promise<Values> {
  const { directory, signal } = options;
  await using server = await ManyProcess.start({ kind: "breaker", directory, limit }, signal);
  using client = connectRuns(server.port);
  const admin = createClient(AdminService, client.transport);
  const runs = scaled(parkedRuns, options);
  const warmUps = scaled(warmUpRuns, options);
  // Caches and compiled code are there for any number of runs.
  await startRuns(server.port, warmUps, signal);
  await untilNoneIsOpen(client, signal);
  await admin.forceBreaker({ workflow: plainWorkflow, mode: BreakerMode.FORCED_OPEN });
  const before = await server.memory(signal);
  await startRuns(server.port, runs, signal);
  await until("all runs at the breaker", async () => (await waitingRuns(admin)) === runs, signal);
  const after = await server.memory(signal);
  await progressOf(server, signal);
  const startMs = performance.now();
  await admin.forceBreaker({ workflow: plainWorkflow, mode: BreakerMode.AUTOMATIC });
  await untilNoneIsOpen(client, signal);
  const seconds = (performance.now() - startMs) / 1000;
  const drained = await progressOf(server, signal);
  return new Map([
    ["parked-memory", [(after.reachableBytes - before.reachableBytes) / runs]],
    ["parked-memory-resident", [(after.residentBytes - before.residentBytes) / runs]],
    ["parked-drained", [drained.attempts / runs]],
    ["parked-drain-rate", [drained.attempts / seconds]],
    ["parked-drain-time", [seconds]],
    ["parked-drain-over-limit", [Math.max(0, drained.most - limit)]],
    ["parked-drain-event-loop-delay-p99", [drained.eventLoopDelayP99Ms]],
    ["parked-drain-event-loop-delay-max", [drained.eventLoopDelayMaxMs]],
  ]);
}

async function untilNoneIsOpen({ runs }: RunClient, signal: AbortSignal): Promise<void> {
  const states = [RunState.QUEUED, RunState.RUNNING, RunState.PARKED];
  const isDone = async (): Promise<boolean> => {
    const open = await runs.listRuns({ workflow: plainWorkflow, states, pageSize: 1 });
    return open.runs.length === 0;
  };
  await until("the ends of all runs", isDone, signal);
}

async function waitingRuns(admin: Client<typeof AdminService>): Promise<number> {
  const { breakers } = await admin.listBreakers({ workflow: plainWorkflow });
  return Number(breakers[0]?.waitingRuns ?? 0n);
}

async function progressOf(server: ManyProcess, signal: AbortSignal): Promise<Progress> {
  return (await server.ask({ kind: "progress" }, signal)) as Progress;
}
