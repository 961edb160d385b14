import { mannKendall, serialInflation } from "./mann-kendall.ts";
import { knownPoints, type Steps } from "./steps.ts";
import { theilSenLine } from "./theil-sen.ts";

export interface TrendOptions {
  /** What the values may not reach: 0 for what is free of a disk. Default: nothing is. */
  readonly limit?: number;
  /** By how much they must change over the window, at least, in their own unit: less is of no interest to anybody. */
  readonly least: number;
}

/** That values rise or fall, and not by chance. */
export interface Trend {
  readonly direction: "rising" | "falling";
  /** Per hour: the median of the slopes between all pairs of points. */
  readonly slopePerHour: number;
  /** With a confidence of 95 %. */
  readonly slopeRange: readonly [low: number, high: number];
  /** Of the line through them, at the first and at the last point. */
  readonly from: number;
  readonly to: number;
  /** How likely that is without a trend. */
  readonly p: number;
  readonly tau: number;
  readonly points: number;
  readonly spanMs: number;
  /** When the limit is reached, if it goes on like that: counted from the last point. */
  readonly exhaustion?: Exhaustion;
}

export interface Exhaustion {
  readonly limit: number;
  readonly inMs: number;
  /** At the steepest slope of the range, and at the flattest; Infinity where that one does not lead there. */
  readonly rangeMs: readonly [soonest: number, latest: number];
}

/** Fewer tell nothing. */
const fewestPoints = 10;

/** With a chance of one in a hundred to be wrong about a series that has none: many are looked at. */
const significance = 0.01;

const hourMs = 3_600_000;

/** What is further away says nothing but that there is none. */
const farthestMs = 365 * 24 * hourMs;

/** The trend of a series, if it has one that is worth telling. */
export function findTrend(steps: Steps, { limit, least }: TrendOptions): Trend | undefined {
  const { timesMs, values } = knownPoints(steps);
  const [firstMs, lastMs] = [timesMs[0], timesMs.at(-1)];
  if (values.length < fewestPoints || firstMs === undefined || lastMs === undefined) return undefined;
  const hours = timesMs.map((timeMs) => (timeMs - firstMs) / hourMs);
  const line = theilSenLine(hours, values);
  if (line === undefined || line.slope === 0) return undefined;
  const spanHours = (lastMs - firstMs) / hourMs;
  if (Math.abs(line.slope * spanHours) < least) return undefined;
  const test = mannKendall(values, serialInflation(values, (line.slope * spanHours) / (values.length - 1)));
  if (test.p >= significance || Math.sign(test.s) !== Math.sign(line.slope)) return undefined;
  const { lowSlope, highSlope } = theilSenLine(hours, values, 1.959964 * Math.sqrt(test.variance)) ?? line;
  const to = line.intercept + line.slope * spanHours;
  const exhaustion = limit === undefined ? undefined : exhaustionOf(to, limit, line.slope, [lowSlope, highSlope]);
  return {
    direction: line.slope > 0 ? "rising" : "falling",
    ...{ slopePerHour: line.slope, slopeRange: [lowSlope, highSlope], from: line.intercept, to },
    ...{ p: test.p, tau: test.tau, points: values.length, spanMs: lastMs - firstMs },
    ...(exhaustion && { exhaustion }),
  };
}

function exhaustionOf(
  value: number,
  limit: number,
  slope: number,
  range: readonly [number, number],
): Exhaustion | undefined {
  const reachedMs = (perHour: number): number => {
    const hours = (limit - value) / perHour;
    return hours >= 0 ? hours * hourMs : Number.POSITIVE_INFINITY;
  };
  const inMs = reachedMs(slope);
  if (inMs > farthestMs) return undefined;
  const [one, other] = [reachedMs(range[0]), reachedMs(range[1])];
  return { limit, inMs, rangeMs: [Math.min(one, other), Math.max(one, other)] };
}
