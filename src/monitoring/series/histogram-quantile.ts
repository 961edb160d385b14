/** How many observations were no larger than a bound. */
export interface Bucket {
  /** Infinity for the last one. */
  readonly upperBound: number;
  /** Of this bucket and all below it. */
  readonly count: number;
}

/**
 * The value below which that part of the observations lies, as PromQL's `histogram_quantile`: evenly spread within a
 * bucket, from 0 on in the first one; the highest finite bound when it lies above. NaN when there is nothing to tell.
 */
export function histogramQuantile(quantile: number, buckets: readonly Bucket[]): number {
  if (Number.isNaN(quantile)) return Number.NaN;
  if (quantile < 0) return Number.NEGATIVE_INFINITY;
  if (quantile > 1) return Number.POSITIVE_INFINITY;
  const sorted = monotone([...buckets].sort((a, b) => a.upperBound - b.upperBound));
  const all = sorted.at(-1);
  if (sorted.length < 2 || all === undefined || all.upperBound !== Number.POSITIVE_INFINITY) return Number.NaN;
  if (all.count === 0 || Number.isNaN(all.count)) return Number.NaN;
  const rank = quantile * all.count;
  const index = Math.max(
    0,
    sorted.findIndex(({ count }) => count >= rank),
  );
  const bucket = sorted[index];
  if (bucket === undefined) return Number.NaN;
  if (index === sorted.length - 1) return sorted[sorted.length - 2]?.upperBound ?? Number.NaN;
  const below = sorted[index - 1];
  if (below === undefined && bucket.upperBound <= 0) return bucket.upperBound;
  const lower = below?.upperBound ?? 0;
  const inBucket = bucket.count - (below?.count ?? 0);
  return lower + (bucket.upperBound - lower) * ((rank - (below?.count ?? 0)) / inBucket);
}

/** Buckets that are scraped or rated one by one may disagree a little: none holds less than the one below it. */
function monotone(buckets: readonly Bucket[]): readonly Bucket[] {
  let most = 0;
  return buckets.map(({ upperBound, count }) => {
    most = Math.max(most, count);
    return { upperBound, count: most };
  });
}
