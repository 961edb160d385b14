import type { RandomSource } from "../clock.ts";

export interface Backoff {
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly backoffMultiplier: number;
}

/** The wait before retry n (1 is the first): exponential up to the maximum, with a jitter of 20 % either way (gRFC A6). */
export function backoffMs(backoff: Backoff, retry: number, random: RandomSource): number {
  const { initialBackoffMs, maxBackoffMs, backoffMultiplier } = backoff;
  return Math.min(initialBackoffMs * backoffMultiplier ** (retry - 1), maxBackoffMs) * (0.8 + 0.4 * random.next());
}
