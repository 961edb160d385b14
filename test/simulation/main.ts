// `npm run simulate`.
import { describeHistory } from "./describe.ts";
import { explain } from "./explain.ts";
import { parseOptions, type SimulateOptions, usage } from "./options.ts";
import { drawPlan } from "./plan/draw-plan.ts";
import { leaveOut, partsOf } from "./plan/parts.ts";
import { simulate } from "./simulate.ts";

/** Failing seeds that are explained; more of them rarely say more. */
const mostFailures = 3;

async function run({ seeds, from, without, digests, quick }: SimulateOptions): Promise<boolean> {
  let failures = 0;
  let commits = 0;
  for (let seed = from; seed < from + seeds; seed++) {
    const drawn = drawPlan(seed);
    for (const part of without) {
      if (!partsOf(drawn).includes(part)) {
        throw new Error(`--without: seed ${seed} has no part "${part}"; it has ${partsOf(drawn).join(", ")}`);
      }
    }
    const report = await simulate(leaveOut(drawn, without));
    commits += report.commits;
    if (digests) {
      console.log(`${seed} ${report.digest}`);
    }
    if (report.finding === undefined) {
      continue;
    }
    const { invariant, message } = report.finding;
    if (quick) {
      console.log(`seed ${seed}: it does not hold that ${invariant}: ${message}`);
      return false;
    }
    if (without.size > 0) {
      console.log(
        [`seed ${seed}: it does not hold that ${invariant}:`, message, ...describeHistory(report.history)].join("\n"),
      );
    } else {
      console.log(await explain(seed, report));
    }
    if (++failures === mostFailures) {
      break;
    }
  }
  console.log(failures === 0 ? `${seeds} seeds, ${commits} commits: everything holds` : `${failures} seeds fail`);
  return failures === 0;
}

let options: SimulateOptions | undefined;
try {
  options = parseOptions(process.argv.slice(2));
} catch (error) {
  console.error(`${error instanceof Error ? error.message : error}\n\n${usage}`);
  process.exitCode = 2;
}
if (options !== undefined && !(await run(options))) {
  process.exitCode = 1;
}
