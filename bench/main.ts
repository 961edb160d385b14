// `npm run bench`: exit code 0 when every bar holds, 1 when one does not, 2 when it could not be measured.
import { writeFile } from "node:fs/promises";
import { selectFigures } from "./figures.ts";
import { parseOptions, usage } from "./options.ts";
import { allHold, describeMachine, formatJson, formatTable, warningsOf } from "./report.ts";
import { planRounds } from "./rounds.ts";
import { runBench } from "./run-bench.ts";

const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => interruption.abort(new Error("interrupted")));
}

try {
  const { only, json, seconds } = parseOptions(process.argv.slice(2));
  const figures = selectFigures(only);
  const plan = planRounds(figures, seconds);
  console.error(`Measuring ${[...plan.loads.keys()].join(", ")}: about ${Math.ceil(seconds)} s.`);
  const report = await runBench(figures, plan, { signal: interruption.signal });
  console.log(`${describeMachine(report)}\n\n${formatTable(report.figures)}`);
  for (const warning of warningsOf(report)) {
    console.log(`\nWarning: ${warning}.`);
  }
  if (json !== undefined) {
    await writeFile(json, formatJson(report));
  }
  process.exitCode = allHold(report) ? 0 : 1;
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  if ((error as NodeJS.ErrnoException).code?.startsWith("ERR_PARSE_ARGS") === true) {
    console.error(`\n${usage}`);
  }
  process.exitCode = 2;
}
