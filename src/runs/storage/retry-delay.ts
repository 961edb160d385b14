const firstMs = 100;
/** Long enough to be no load on a disk in trouble, short enough that nobody waits for it to be noticed as mended. */
const longestMs = 5_000;

/** How long a storage in trouble is left alone before the next try, by how many tries have failed. */
export function retryDelayMs(failedTries: number): number {
  return Math.min(longestMs, firstMs * 2 ** Math.min(failedTries, 10));
}
