import { writeFile } from "node:fs/promises";
import { selectFigures } from "./figures.ts";
import { parseOptions, usage } from "./options.ts";
import { allHold, describeMachine, formatJson, formatTable, warningsOf } from "./report.ts";
import { planRounds } from "./rounds.ts";
import type { runBench } from "./run-bench.ts";

export interface CommandSurroundings {
  readonly run: typeof runBench;
  /** Writes a line of the result. */
  readonly print: (line: string) => void;
  /** Writes a line about what happens. */
  readonly tell: (line: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * Carries out the command line. Answers its exit code: 0 when every bar holds, 1 when one does not, 2 when it could not
 * be measured.
 */
export async function benchCommand(args: readonly string[], surroundings: CommandSurroundings): Promise<0 | 1 | 2> {
  const { run, print, tell, signal } = surroundings;
  try {
    const { only, json, seconds } = parseOptions(args);
    const figures = selectFigures(only);
    const plan = planRounds(figures, seconds);
    tell(`Measuring ${[...plan.loads.keys()].join(", ")}: warming up, then about ${Math.ceil(seconds)} s.`);
    const report = await run(figures, plan, signal);
    print(`${describeMachine(report)}\n\n${formatTable(report.figures)}`);
    for (const warning of warningsOf(report)) {
      print(`\nWarning: ${warning}.`);
    }
    if (json !== undefined) {
      await writeFile(json, formatJson(report));
    }
    return allHold(report) ? 0 : 1;
  } catch (error) {
    tell(`bench: ${error instanceof Error ? error.message : String(error)}`);
    if ((error as NodeJS.ErrnoException).code?.startsWith("ERR_PARSE_ARGS") === true) {
      tell(`\n${usage}`);
    }
    return 2;
  }
}
