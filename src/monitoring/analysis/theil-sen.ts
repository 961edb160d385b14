import { medianSorted } from "simple-statistics";

/** A straight line through points, that up to 29 % of wild ones do not move. */
export interface Line {
  /** The median of the slopes between all pairs of points (Theil 1950, Sen 1968). */
  readonly slope: number;
  readonly intercept: number;
  /** Between which slopes the true one lies, with the confidence that was asked for. */
  readonly lowSlope: number;
  readonly highSlope: number;
}

/**
 * The line through points, of which the first coordinates ascend. Undefined where all are at one place.
 *
 * @param halfWidth how far the interval of slopes reaches in ranks of pairs: the quantile of the normal distribution times
 * the deviation of Kendall's S. Default: the interval is the slope alone
 */
export function theilSenLine(xs: readonly number[], ys: readonly number[], halfWidth = 0): Line | undefined {
  const slopes: number[] = [];
  for (let i = 0; i < xs.length; i++) {
    for (let j = i + 1; j < xs.length; j++) {
      const run = (xs[j] as number) - (xs[i] as number);
      if (run > 0) slopes.push(((ys[j] as number) - (ys[i] as number)) / run);
    }
  }
  if (slopes.length === 0) return undefined;
  slopes.sort((a, b) => a - b);
  const slope = medianSorted(slopes);
  const last = slopes.length - 1;
  // Ranks as Sen has them, from 1 on: the M1-th and the (M2+1)-th.
  const low = Math.round((slopes.length - halfWidth) / 2) - 1;
  const high = Math.round((slopes.length + halfWidth) / 2);
  return {
    slope,
    intercept: medianOf(ys) - slope * medianSorted([...xs]),
    lowSlope: halfWidth === 0 ? slope : (slopes[Math.min(last, Math.max(0, low))] as number),
    highSlope: halfWidth === 0 ? slope : (slopes[Math.min(last, Math.max(0, high))] as number),
  };
}

function medianOf(values: readonly number[]): number {
  return medianSorted([...values].sort((a, b) => a - b));
}
