/** By how much the S of Mann and Kendall varies more for series that know of their past: Hamed and Rao (1998). */
export function hamedRao(n: number, correlations: readonly number[]): number {
  let sum = 0;
  for (const [index, correlation] of correlations.entries()) {
    const left = n - index - 1;
    sum += left * (left - 1) * (left - 2) * correlation;
  }
  return n < 4 ? 1 : 1 + (2 / (n * (n - 1) * (n - 2))) * sum;
}

/**
 * The autocorrelation of the ranks of a series without its slope, at distances from 1 on; 0 where it may well be chance.
 *
 * @param slope for each step from one value to the next
 */
export function rankCorrelations(values: readonly number[], slope: number, lags: number): number[] {
  const n = values.length;
  const ranks = ranksOf(values.map((value, index) => value - slope * (index + 1)));
  const mean = (n + 1) / 2;
  let spread = 0;
  for (const rank of ranks) spread += (rank - mean) ** 2;
  if (spread === 0) return [];
  const significant = 1.959964 / Math.sqrt(n);
  return Array.from({ length: lags }, (_, index) => {
    let common = 0;
    for (let i = 0; i + index + 1 < n; i++) {
      common += ((ranks[i] as number) - mean) * ((ranks[i + index + 1] as number) - mean);
    }
    const correlation = common / spread;
    return Math.abs(correlation) > significant ? correlation : 0;
  });
}

/** From 1 on; values that are equal share the middle of theirs. */
function ranksOf(values: readonly number[]): number[] {
  const order = values.map((_, index) => index).sort((a, b) => (values[a] as number) - (values[b] as number));
  const ranks = new Array<number>(values.length);
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to < order.length && values[order[to] as number] === values[order[from] as number]) to++;
    for (let i = from; i < to; i++) ranks[order[i] as number] = (from + 1 + to) / 2;
    from = to;
  }
  return ranks;
}
