import type { WantedPast } from "../series/series-store.ts";
import { lookedBackMs, looksFarBack, type Rule } from "./rule.ts";

/** What rules need of times that are not in memory. */
export function wantedPasts(rules: readonly Rule[]): readonly WantedPast[] {
  return rules
    .flatMap(({ queries }) => [...queries.values()])
    .filter(looksFarBack)
    .map(({ metric, statistic, test, windowMs, offsetMs }) => ({
      ...{ name: typeof statistic === "object" ? `${metric}_bucket` : metric, test },
      windowMs: lookedBackMs({ windowMs, offsetMs }),
    }));
}
