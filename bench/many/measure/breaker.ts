import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { BreakerState } from "../../../gen/retake/v1/breaker_pb.js";
import { createCallTemplates } from "../../grpc-request.ts";
import { quantile } from "../../statistics.ts";
import { workflow } from "../listen.ts";
import { until } from "../load.ts";
import { ManyProcess } from "../many-process.ts";
import type { Answer } from "../open-connection.ts";
import { OpenLoad } from "../open-load.ts";
import { failuresToOpen } from "../remote-workflows.ts";
import { connectRuns } from "../run-client.ts";
import { type ScenarioOptions, scaled, type Values } from "../scenarios.ts";

const callersAtOnce = 16;
/** A twelfth of what two cores answer by fallbacks. At a quarter of it some wait for each other's syncs, and for the collector. */
const callsPerSecond = 250;
const rounds = 5;
const windowMs = 1_500;
const warmUpMs = 2_000;
/** Less would hold too few calls to tell anything. */
const shortestMs = 300;
const ok = 0;
const unavailable = 14;

/**
 * How soon calls are answered behind the open breaker of a back-end whose process has died, in turns: by a failure, and by a
 * fallback; one after the other, and as they come, 250 a second. How many are answered by sixteen callers who ask again at
 * once is told beside: the server does all it can then, so that how long each takes follows from how many there are. The
 * reference answers the same calls by bare grpc-js, with as many syncs as a fallback has: the rest is the machine's.
 */
export async function measureBreaker(options: ScenarioOptions): Promise<Values> {
  const { directory, signal } = options;
  await using backend = await ManyProcess.start(
    { kind: "retake", directory: `${directory}/back-end`, held: true },
    signal,
  );
  await using server = await ManyProcess.start(
    { kind: "remote", directory: `${directory}/server`, backendPort: backend.port },
    signal,
  );
  const own = join(directory, "reference");
  await mkdir(own);
  await using reference = await ManyProcess.start({ kind: "durable", directory: own }, signal);
  const broken = [
    { name: "breaker-fail", load: await connect(server.port, "Once"), status: unavailable },
    { name: "breaker-fallback", load: await connect(server.port, "Plain"), status: ok },
  ];
  const all = [...broken, { name: "breaker-reference", load: await connect(reference.port, "Plain"), status: ok }];
  const values = new Map<string, number[]>();
  const keep = (name: string, value: number): void => {
    values.set(name, [...(values.get(name) ?? []), value]);
  };
  const durationOf = (ms: number) => Math.max(shortestMs, scaled(ms, options));
  const answered = async (
    { name, load, status }: (typeof all)[number],
    calls: (load: OpenLoad) => Promise<readonly Answer[]>,
  ) => {
    const answers = await calls(load);
    const other = answers.find((answer) => answer.status !== status);
    if (other !== undefined) {
      throw new Error(`${name}: a call behind an open breaker was answered with grpc-status ${other.status}`);
    }
    return answers.map(({ latencyMs }) => latencyMs);
  };
  try {
    // What opens the breakers is that the attempts which are under way have lost their back-end.
    const lost = broken.map(({ load }) => load.once(failuresToOpen));
    const held = failuresToOpen * broken.length;
    await until("the attempts", async () => (await backend.ask({ kind: "held" }, signal)) === held, signal, 30_000);
    await backend[Symbol.asyncDispose]();
    await Promise.all(lost);
    for (const each of all) {
      await answered(each, (load) => load.atOnce(callersAtOnce, durationOf(warmUpMs), signal));
    }
    for (let round = 0; round < scaled(rounds, options); round++) {
      for (const each of all) {
        const ms = durationOf(windowMs);
        const alone = await answered(each, (load) => load.atOnce(1, ms, signal));
        const coming = await answered(each, (load) => load.open(callsPerSecond, ms, signal));
        const most = await answered(each, (load) => load.atOnce(callersAtOnce, ms, signal));
        for (const percent of [50, 99]) {
          keep(`${each.name}-p${percent}`, quantile(alone, percent / 100));
          keep(`${each.name}-loaded-p${percent}`, quantile(coming, percent / 100));
        }
        keep(`${each.name}-most`, (most.length * 1000) / ms);
      }
    }
    await assertOpenThroughout(server.port);
    return values;
  } finally {
    for (const { load } of all) {
      load.close();
    }
  }
}

function connect(port: number, method: string): Promise<OpenLoad> {
  return OpenLoad.connect(port, createCallTemplates(`/${workflow(method)}`, new Uint8Array()));
}

/** @throws Error when a breaker did anything but open once: then it is not its answers that were measured */
async function assertOpenThroughout(port: number): Promise<void> {
  using client = connectRuns(port);
  const { breakers } = await createClient(AdminService, client.transport).listBreakers({});
  const found = breakers
    .filter(({ state, generation }) => state === BreakerState.OPEN && generation === 1n)
    .map((breaker) => breaker.workflow);
  for (const expected of ["Once", "Plain"].map(workflow)) {
    if (!found.includes(expected)) {
      throw new Error(`the breaker of ${expected} has not opened once and for all`);
    }
  }
}
