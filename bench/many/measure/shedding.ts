import { create, toBinary } from "@bufbuild/protobuf";
import { KeyedRequestSchema, WorkflowsService } from "../../../test/gen/retake/test/v1/workflows_pb.js";
import { createCallTemplates } from "../../grpc-request.ts";
import { plainPath } from "../../servers/plain-method.ts";
import { quantile } from "../../statistics.ts";
import { ManyProcess } from "../many-process.ts";
import { OpenLoad } from "../open-load.ts";
import { type ScenarioOptions, scaled, type Values } from "../scenarios.ts";
import type { Trouble } from "../server-messages.ts";

/** Of each kind of call, whether earlier ones are answered or not: enough for the server to see that it is in trouble. */
const callsPerSecond = 100;
const rounds = 5;
const windowMs = 3_000;
/** Less would hold too few refusals to tell anything. */
const shortestMs = 1_500;
/** Readings of the load come every half second, and a share of what is offered is refused from the second in trouble on. */
const untilRefusedMs = 2_500;
const callsPerLook = 20;
const mostTries = 5;
/** How the event loop is held up: longer than it may be late, at once and on and on. */
const burst = { burnMs: 200, count: 12 };
/** Enough for the server and its caches, and soon full. */
const heapMegabytes = 512;
const keyDigits = 12;
const unavailable = 14;

/**
 * How soon new runs are refused because the server is in trouble, with a key, for which the journal is asked, and without: one
 * after the other, as behind an open breaker, so that nobody waits for others. While its journal takes 300 ms for a sync;
 * while two thirds of its heap are taken for good; and when its event loop was held up, and is free again: while it is held
 * up nobody hears of anything, and for some time after that runs are refused still.
 */
export async function measureShedding(options: ScenarioOptions): Promise<Values> {
  const values = new Map<string, readonly number[]>();
  for (const trouble of ["journal", "memory", "event-loop"] as const) {
    for (const [name, found] of await measureTrouble(trouble, options)) {
      values.set(name, found);
    }
  }
  return values;
}

async function measureTrouble(trouble: Trouble, options: ScenarioOptions): Promise<Values> {
  const { directory, signal } = options;
  const order = { kind: "shedding", directory: `${directory}/${trouble}`, trouble } as const;
  await using server = await ManyProcess.start(order, signal, [`--max-old-space-size=${heapMegabytes}`]);
  const durationMs = Math.max(shortestMs, scaled(windowMs, options));
  const plain = await OpenLoad.connect(server.port, createCallTemplates(plainPath, new Uint8Array()));
  const keyed = await connectKeyed(server.port);
  const isRefusing = async (load: OpenLoad): Promise<boolean> =>
    (await load.once(callsPerLook)).some(({ status }) => status === unavailable);
  const getIntoTrouble = async (): Promise<void> => {
    for (let tries = 0; tries < mostTries; tries++) {
      const burns = trouble === "event-loop" ? server.ask({ kind: "burn", ...burst }, signal) : undefined;
      await Promise.all([...[plain, keyed].map((load) => load.open(callsPerSecond, untilRefusedMs, signal)), burns]);
      // A machine that has other things to do may read its load later.
      if ((await isRefusing(plain)) && (await isRefusing(keyed))) {
        return;
      }
    }
    throw new Error(`no runs are refused while the ${trouble} is in trouble`);
  };
  const refused: number[] = [];
  const plainMs: number[] = [];
  const keyedMs: number[] = [];
  try {
    await getIntoTrouble();
    for (let round = 0; round < scaled(rounds, options); round++) {
      if (round > 0 && trouble === "event-loop") {
        await getIntoTrouble();
      }
      const answers = await Promise.all([plain, keyed].map((load) => load.atOnce(1, durationMs, signal)));
      const [plainRefusals = [], keyedRefusals = []] = answers.map((own) =>
        own.filter(({ status }) => status === unavailable).map(({ latencyMs }) => latencyMs),
      );
      refused.push((plainRefusals.length + keyedRefusals.length) / answers.flat().length);
      plainMs.push(quantile(plainRefusals, 0.99));
      keyedMs.push(quantile(keyedRefusals, 0.99));
    }
  } finally {
    plain.close();
    keyed.close();
  }
  return new Map([
    [`shedding-${trouble}-refused`, refused],
    [`shedding-${trouble}-refusal-p99`, plainMs],
    [`shedding-${trouble}-keyed-refusal-p99`, keyedMs],
  ]);
}

/** Callers each of whom has a key of its own, so that none joins another's run. */
function connectKeyed(port: number): Promise<OpenLoad> {
  const message = toBinary(KeyedRequestSchema, create(KeyedRequestSchema, { requestId: "0".repeat(keyDigits) }));
  let keys = 0;
  // The key is the end of the message, and that the end of the call.
  return OpenLoad.connect(port, createCallTemplates(`/${WorkflowsService.typeName}/Keyed`, message), (call) =>
    call.write(String(++keys).padStart(keyDigits, "0"), call.length - keyDigits, "latin1"),
  );
}
