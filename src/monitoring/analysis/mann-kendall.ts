import { errorFunction } from "simple-statistics";
import { hamedRao, rankCorrelations } from "./serial-correlation.ts";

/** Whether values rise or fall in the order in which they came, whatever their distribution. */
export interface MannKendall {
  /** Pairs of which the later one is larger, less those of which it is smaller. */
  readonly s: number;
  /** Of S, if there were no trend; ties and what neighbours have in common taken into account. */
  readonly variance: number;
  /** How likely an S that far from 0 is without a trend, on both sides. */
  readonly p: number;
  /** S as a part of all pairs: -1 where every one falls, 1 where every one rises. */
  readonly tau: number;
}

/** Up to here the distribution of S is counted out; from here on the normal one is close (Kendall 1975). */
const mostExact = 10;

/**
 * The test of Mann (1945) and Kendall (1975).
 *
 * @param inflation by how much S varies more than that of values which know nothing of each other: `serialInflation`
 */
export function mannKendall(values: readonly number[], inflation = 1): MannKendall {
  const n = values.length;
  let s = 0;
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) s += Math.sign((values[j] as number) - (values[i] as number));
  }
  const pairs = (n * (n - 1)) / 2;
  const ties = tiesOf(values);
  let variance = n * (n - 1) * (2 * n + 5);
  for (const size of ties) variance -= size * (size - 1) * (2 * size + 5);
  variance = (variance / 18) * inflation;
  const tau = pairs === 0 ? 0 : s / pairs;
  if (ties.length === 0 && n <= mostExact && inflation === 1) return { s, variance, tau, p: exactP(n, s) };
  // One towards 0, because S goes in steps.
  const z = (s - Math.sign(s)) / Math.sqrt(variance);
  return { s, variance, tau, p: s === 0 || variance === 0 ? 1 : 1 - errorFunction(Math.abs(z) / Math.SQRT2) };
}

/**
 * By how much the S of a series varies more than that of values which know nothing of each other, because what follows is
 * like what was before: by the autocorrelation of its ranks without the slope, as far as it is significant (Hamed and Rao
 * 1998), and at least as much as for a series in which each value knows of the one before alone, since estimates at larger
 * distances are too low. Never below 1: seasons would make the test surer than it is without them.
 *
 * @param slope for each step from one value to the next
 */
export function serialInflation(values: readonly number[], slope: number): number {
  const correlations = rankCorrelations(values, slope, Math.floor(values.length / 4));
  const n = values.length;
  const first = correlations[0] ?? 0;
  // Estimates from few values are too low (Marriott and Pope 1954).
  const next = first === 0 ? 0 : Math.min(0.99, first + (1 + 3 * first) / n);
  return Math.max(1, (1 + next) / (1 - next), hamedRao(n, correlations));
}

/** Of values that are equal, how many there are; values that are there once are left out. */
function tiesOf(values: readonly number[]): number[] {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts.values()].filter((count) => count > 1);
}

/** The part of all orders of n different values whose S is as far from 0, or farther. */
function exactP(n: number, s: number): number {
  // By inversions, of which there are (pairs - S) / 2: each further value adds 0 to as many as there are before it.
  let orders = [1];
  for (let size = 2; size <= n; size++) {
    const next = new Array<number>(orders.length + size - 1).fill(0);
    for (const [inversions, count] of orders.entries()) {
      for (let added = 0; added < size; added++)
        next[inversions + added] = (next[inversions + added] as number) + count;
    }
    orders = next;
  }
  const pairs = (n * (n - 1)) / 2;
  let [all, far] = [0, 0];
  for (const [inversions, count] of orders.entries()) {
    all += count;
    if (Math.abs(pairs - 2 * inversions) >= Math.abs(s)) far += count;
  }
  return far / all;
}
