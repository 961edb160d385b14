import { UsageError } from "./cli-error.ts";

/** How many are listed at most; Infinity for `all`. @throws UsageError */
export function parseLimit(text: string, what: string): number {
  if (text === "all") return Number.POSITIVE_INFINITY;
  if (!/^[1-9]\d{0,8}$/.test(text))
    throw new UsageError(`--limit: "${text}" is no number of ${what}; give one from 1 on, or all`);
  return Number(text);
}
