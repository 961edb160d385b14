import { parseArgs } from "node:util";

export interface BenchOptions {
  /** The name of a figure, or the beginning of some. */
  readonly only: string | undefined;
  /** Where the report goes as JSON. */
  readonly json: string | undefined;
  /** About how long to measure. */
  readonly seconds: number;
  /** The share of how many the bars of the figures "many" are about. */
  readonly scale: number;
}

export const usage = `npm run bench -- [--only NAME] [--json FILE] [--seconds N] [--scale N]

Without --only it measures everything but the figures "many", which take minutes of their own: --only many; and but what
happens in trouble: --only overload (five times of what the server can do), --only shedding (runs that are refused while its
journal, its memory or its event loop is in trouble), --only failing (a thousand first attempts fail), --only breaker (calls
behind the open breaker of a back-end that has died, beside bare grpc-js with as many syncs), --only parked (ten thousand
runs at one, and how they go once it closes); and but what it takes to watch over a server: --only alerts (500 rules over
5,000 series), --only series (the memory of 10,000), --only scrape (for how long reading 10,000 holds up everybody else).

  --only NAME    only the figure with that name, or those whose name begins with NAME and a dash
  --json FILE    write the figures to FILE, too
  --seconds N    how long to measure, in all, once the servers are warm (default: 120); the others take what they take
  --scale N      for those figures: a share of the numbers that the bars are about, for a quick look (default: 1)`;

/** @throws Error that says what is wrong with the arguments */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string" },
      json: { type: "string" },
      seconds: { type: "string", default: "120" },
      scale: { type: "string", default: "1" },
    },
  });
  const seconds = Number(values.seconds);
  if (!(seconds > 0 && seconds <= 3600)) {
    throw new Error(`--seconds is a number above 0, up to 3600, and not "${values.seconds}"`);
  }
  const scale = Number(values.scale);
  if (!(scale > 0 && scale <= 1)) {
    throw new Error(`--scale is a number above 0, up to 1, and not "${values.scale}"`);
  }
  return { only: values.only, json: values.json, seconds, scale };
}
