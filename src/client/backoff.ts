import type { RandomSource } from "../clock.ts";

const initialMs = 200;
const longestMs = 10_000;

/**
 * The wait before try n to reach a server again (1 is the first): doubled each time, and at random between half of it
 * and all of it, so that the clients of a restarted server do not come back at once.
 */
export function reconnectDelayMs(attempt: number, random: RandomSource): number {
  const delayMs = Math.min(initialMs * 2 ** (attempt - 1), longestMs);
  return delayMs * (0.5 + 0.5 * random.next());
}
