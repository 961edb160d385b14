import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { ListRunsRequestSchema } from "../../../gen/retake/v1/run_service_pb.js";
import { systemClock, systemRandom } from "../../../src/clock.ts";
import { timestampFromMs } from "../../../src/runs/time.ts";
import { createCallTemplates } from "../../grpc-request.ts";
import { LoadConnection } from "../../load-connection.ts";
import { requestOf } from "../../requests.ts";
import { quantile } from "../../statistics.ts";
import type { ListFilter } from "../figures.ts";
import { type FinishedRuns, fillWithFinishedRuns, finishedOwners, finishedWorkflows } from "../finished-runs.ts";
import { startRuns } from "../load.ts";
import { ManyProcess } from "../many-process.ts";
import { type ScenarioOptions, scaled, type Values } from "../scenarios.ts";

const finishedRuns = 1_000_000;
/** Enough for full pages, and nothing beside a million. */
const fewRuns = 1_000;
const warmUpRuns = 20_000;
const startRounds = 12;
const roundMs = 500;
const inFlight = 64;
const listMs = 400;

/** What a million finished runs cost: `StartRun` beside an empty journal, `ListRuns` beside a journal with a few. */
export async function measureFinished(options: ScenarioOptions): Promise<Values> {
  const { directory, signal } = options;
  const values = new Map<string, readonly number[]>();
  const [full, few, empty] = ["full", "few", "empty"].map((name) => join(directory, name)) as [string, string, string];
  for (const own of [full, few, empty]) {
    await mkdir(own);
  }
  const fillOptions = { clock: systemClock, random: systemRandom };
  const fullRuns = await fillWithFinishedRuns({ directory: full, ...fillOptions }, scaled(finishedRuns, options));
  const runsOfFew = await fillWithFinishedRuns({ directory: few, ...fillOptions }, fewRuns);
  signal.throwIfAborted();

  await using fullServer = await ManyProcess.start({ kind: "retake", directory: full, held: false }, signal);
  {
    await using fewServer = await ManyProcess.start({ kind: "retake", directory: few, held: false }, signal);
    await measureLists(fullServer.port, fullRuns, "", values, signal);
    await measureLists(fewServer.port, runsOfFew, "-few", values, signal);
  }
  await using emptyServer = await ManyProcess.start({ kind: "retake", directory: empty, held: false }, signal);
  await measureStarts(fullServer.port, emptyServer.port, options, values);
  return values;
}

async function measureLists(
  port: number,
  runs: FinishedRuns,
  suffix: string,
  values: Map<string, readonly number[]>,
  signal: AbortSignal,
): Promise<void> {
  for (const [filter, request] of requestsBy(runs)) {
    signal.throwIfAborted();
    const message = toBinary(ListRunsRequestSchema, create(ListRunsRequestSchema, request));
    const connection = await LoadConnection.connect(
      port,
      createCallTemplates("/retake.v1.RunService/ListRuns", message),
    );
    try {
      // For compiled code and what SQLite keeps in memory.
      await latenciesOf(connection, listMs);
      const latenciesMicros = await latenciesOf(connection, listMs);
      values.set(
        `many-finished-list-by-${filter}${suffix}`,
        latenciesMicros.map((micros) => micros / 1000),
      );
    } finally {
      connection.close();
    }
  }
}

function requestsBy({
  parentRunId,
  key,
  keyOwner,
  keyWorkflow,
  middleMs,
}: FinishedRuns): ReadonlyMap<ListFilter, MessageInitShape<typeof ListRunsRequestSchema>> {
  const [workflow = ""] = finishedWorkflows;
  const [owner = keyOwner] = finishedOwners;
  // The rarer state.
  const states = [RunState.CANCELLED];
  const createdBefore = timestampFromMs(middleMs);
  return new Map([
    ["none", {}],
    ["workflow", { workflow }],
    ["state", { states }],
    ["owner", { owner }],
    ["parent", { parentRunId }],
    ["time", { createdBefore }],
    ["key", { workflow: keyWorkflow, owner: keyOwner, idempotencyKey: key }],
    ["all", { workflow, states, owner, createdBefore }],
  ]);
}

async function measureStarts(
  fullPort: number,
  emptyPort: number,
  options: ScenarioOptions,
  values: Map<string, readonly number[]>,
): Promise<void> {
  const { signal } = options;
  const { path, message } = requestOf("start-run");
  const templates = createCallTemplates(path, message);
  const connections = [
    await LoadConnection.connect(fullPort, templates),
    await LoadConnection.connect(emptyPort, templates),
  ] as const;
  const ratios: number[] = [];
  const medians: number[] = [];
  try {
    for (const port of [fullPort, emptyPort]) {
      await startRuns(port, scaled(warmUpRuns, options), signal);
    }
    const [full, empty] = connections;
    for (let round = 0; round < startRounds; round++) {
      signal.throwIfAborted();
      // Each other round the other way round, so that what slows the machine slows both.
      const turns = round % 2 === 0 ? [full, empty] : [empty, full];
      const found = new Map<LoadConnection, { eachMs: number; median: number }>();
      for (const connection of turns) {
        const eachMs = await timeOfEach(connection);
        const median = quantile(await latenciesOf(connection, roundMs / 2), 0.5);
        found.set(connection, { eachMs, median });
      }
      ratios.push((found.get(full)?.eachMs ?? Number.NaN) / (found.get(empty)?.eachMs ?? Number.NaN));
      medians.push((found.get(full)?.median ?? Number.NaN) / (found.get(empty)?.median ?? Number.NaN));
    }
  } finally {
    for (const connection of connections) {
      connection.close();
    }
  }
  values.set("many-finished-start-run", ratios);
  values.set("many-finished-start-run-p50", medians);
}

/** With many in flight. */
async function timeOfEach(connection: LoadConnection): Promise<number> {
  const before = connection.completed;
  const startMs = performance.now();
  connection.start(inFlight);
  await sleep(roundMs);
  await connection.stop();
  return (performance.now() - startMs) / (connection.completed - before);
}

/** One after the other, for so long, and at least one. */
async function latenciesOf(connection: LoadConnection, durationMs: number): Promise<readonly number[]> {
  const latenciesMicros: number[] = [];
  connection.start(1, latenciesMicros);
  await sleep(durationMs);
  await connection.stop();
  return latenciesMicros;
}
