import { parseArgs } from "node:util";

export interface BenchOptions {
  /** The name of a figure, or the beginning of some. */
  readonly only: string | undefined;
  /** Where the report goes as JSON. */
  readonly json: string | undefined;
  /** About how long to measure. */
  readonly seconds: number;
}

export const usage = `npm run bench -- [--only NAME] [--json FILE] [--seconds N]

  --only NAME    only the figure with that name, or those whose name begins with NAME and a dash
  --json FILE    write the figures to FILE, too
  --seconds N    how long to measure, in all, once the servers are warm (default: 120)`;

/** @throws Error that says what is wrong with the arguments */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: { only: { type: "string" }, json: { type: "string" }, seconds: { type: "string", default: "120" } },
  });
  const seconds = Number(values.seconds);
  if (!(seconds > 0 && seconds <= 3600)) {
    throw new Error(`--seconds is a number above 0, up to 3600, and not "${values.seconds}"`);
  }
  return { only: values.only, json: values.json, seconds };
}
