import { createCallTemplates } from "../../grpc-request.ts";
import { plainPath } from "../../servers/plain-method.ts";
import { quantile } from "../../statistics.ts";
import { ManyProcess } from "../many-process.ts";
import type { Answer } from "../open-connection.ts";
import { OpenLoad } from "../open-load.ts";
import { type ScenarioOptions, scaled, type Values } from "../scenarios.ts";

/** Runs that work at once, and that wait: as many as are answered within half a second. */
const limit = 8;
const queueLimit = 100;
/** How much of what the server can do is asked of it. */
const excess = 5;
const rounds = 5;
const windowMs = 3_000;
const warmUpMs = 2_000;
/** Less would hold too few runs to tell anything. */
const shortestMs = 500;
const ok = 0;
/** The queue is full, or the server is in trouble. */
const refusals: ReadonlySet<number> = new Set([8, 14]);

/**
 * What the server gets done when it is asked for five times of what it can, beside what it gets done when it is never
 * asked for more, in turns; and how soon it refuses the rest. The load is open: calls come whether earlier ones are answered or not.
 */
export async function measureOverload(options: ScenarioOptions): Promise<Values> {
  const { directory, signal } = options;
  await using server = await ManyProcess.start({ kind: "working", directory, limit, queueLimit }, signal);
  const durationMs = Math.max(shortestMs, scaled(windowMs, options));
  const load = await OpenLoad.connect(server.port, createCallTemplates(plainPath, new Uint8Array()));
  // A little more than the server does at once.
  const atCapacity = (ms: number): Promise<Answer[]> => load.atOnce(2 * limit, ms, signal);
  try {
    await atCapacity(Math.max(shortestMs, scaled(warmUpMs, options)));
    const peaks: number[] = [];
    const goodputs: number[] = [];
    const shares: number[] = [];
    const refused: number[] = [];
    const failed: number[] = [];
    const refusalsMs: number[] = [];
    for (let round = 0; round < scaled(rounds, options); round++) {
      const peak = perSecond(await atCapacity(durationMs), durationMs);
      const answers = await load.open(peak * excess, durationMs, signal);
      const goodput = perSecond(answers, durationMs);
      const refusedNow = answers.filter(({ status }) => refusals.has(status));
      peaks.push(peak);
      goodputs.push(goodput);
      shares.push(goodput / peak);
      refused.push(refusedNow.length / answers.length);
      failed.push(answers.filter(({ status }) => status !== ok && !refusals.has(status)).length);
      refusalsMs.push(
        quantile(
          refusedNow.map(({ latencyMs }) => latencyMs),
          0.99,
        ),
      );
    }
    return new Map([
      ["overload-peak", peaks],
      ["overload-goodput", goodputs],
      ["overload-goodput-share", shares],
      ["overload-refused", refused],
      // All of them: the median would be none if it happened in two rounds of five.
      ["overload-failed", [failed.reduce((sum, count) => sum + count, 0)]],
      ["overload-refusal-p99", refusalsMs],
    ]);
  } finally {
    load.close();
  }
}

function perSecond(answers: readonly Answer[], durationMs: number): number {
  return (answers.filter(({ status }) => status === ok).length * 1000) / durationMs;
}
