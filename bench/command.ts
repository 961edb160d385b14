import { writeFile } from "node:fs/promises";
import { selectFigures } from "./figures.ts";
import { manyFigures, selectManyFigures, troubleFigures, watchFigures } from "./many/figures.ts";
import type { runMany } from "./many/run-many.ts";
import { type BenchOptions, parseOptions, usage } from "./options.ts";
import { allHold, describeMachine, formatJson, formatTable, type Report, warningsOf } from "./report.ts";
import { planRounds } from "./rounds.ts";
import type { runBench } from "./run-bench.ts";

export interface CommandSurroundings {
  readonly run: typeof runBench;
  readonly runMany: typeof runMany;
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
  const { print, tell } = surroundings;
  if (args.includes("--help")) {
    print(usage);
    return 0;
  }
  try {
    const options = parseOptions(args);
    const { json } = options;
    const report = await measure(options, surroundings);
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

function measure({ only, seconds, scale }: BenchOptions, surroundings: CommandSurroundings): Promise<Report> {
  const { run, runMany, tell, signal } = surroundings;
  const many = selectManyFigures(only);
  if (many.length > 0) {
    return runMany(many, { scale, tell, signal: signal ?? new AbortController().signal });
  }
  const figures = selectFigures(
    only,
    [...manyFigures, ...troubleFigures, ...watchFigures].map(({ name }) => name),
  );
  const plan = planRounds(figures, seconds);
  tell(`Measuring ${[...plan.loads.keys()].join(", ")}: warming up, then about ${Math.ceil(seconds)} s.`);
  return run(figures, plan, signal);
}
